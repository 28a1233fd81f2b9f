"""Failures of model providers as our own errors, in sentences that repeat nothing of what the provider said."""

from collections.abc import Mapping

import structlog

from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited, Unavailable
from storage.models.provider_headers import asked_pause

log = structlog.get_logger(__name__)

ENDED_EARLY = "The answer of the model provider ended too early."


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
        return RateLimited("The model provider is busy; try again later.", retry_after=asked_pause(_headers(error)))
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


def is_fault(error: Exception) -> bool:
    """Whether the provider cannot be reached or has a problem of its own, rather than one with this request."""
    status = _status(error)
    return type(error).__name__ in ("APIConnectionError", "APITimeoutError") or (status is not None and status >= 500)


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None


def _headers(error: Exception) -> Mapping[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None)
    return {} if headers is None else headers
