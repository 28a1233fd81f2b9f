"""Failures of model providers as our own errors, in sentences that repeat nothing of what the provider said."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited, Unavailable

log = structlog.get_logger(__name__)

LONGEST_RETRY_AFTER = 120.0
RETRY_PAUSE_SECONDS = 0.2
ENDED_EARLY = "The answer of the model provider ended too early."

Stream = TypeVar("Stream")


async def begin_stream(create: Callable[[], Awaitable[Stream]]) -> Stream:
    """Begin a stream, a second time when the first attempt met a lost connection or a server's fault.

    The SDKs' own retries are off: they would also wait as long as a busy provider asks for, before the first token.
    """
    try:
        return await create()
    except Exception as error:
        status = _status(error)
        if type(error).__name__ != "APIConnectionError" and (status is None or status < 500):
            raise
    await asyncio.sleep(RETRY_PAUSE_SECONDS)
    return await create()


def provider_error(engine: str, error: Exception, *, begun: bool) -> AppError:
    """Map an exception of the `openai` or `anthropic` SDK, or of their transport.

    Both SDKs are generated alike: an error with a response has `status_code`, one without is a connection or a
    time-out. An error event inside a stream carries the status of the stream, 200, and says its kind in `type`.
    `begun` says that text had come already.
    """
    if isinstance(error, AppError):
        return error
    status = _status(error)
    kind = getattr(error, "type", None)
    log.warning("provider_failed", engine=engine, error=type(error).__name__, status=status, kind=kind)
    if status == 429 or kind in ("rate_limit_error", "rate_limit_exceeded"):
        return RateLimited("The model provider is busy; try again later.", retry_after=_retry_after(error))
    if status in (401, 402, 403) or kind in ("authentication_error", "permission_error", "billing_error"):
        return Unavailable("The model provider refused our access.")
    if status == 404:
        return Unavailable("The model provider does not offer this model.")
    if status in (400, 413, 422):
        return InvalidInput("The model provider does not accept this request.")
    if (status is not None and status >= 500) or kind in ("overloaded_error", "api_error", "server_error"):
        return Unavailable("The model provider has a problem; try again later.")
    if type(error).__name__ in ("APIConnectionError", "APITimeoutError"):
        return (
            EngineFailed(ENDED_EARLY)
            if begun
            else Unavailable("The model provider cannot be reached; try again later.")
        )
    return EngineFailed()


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None
