"""What the engines of providers share: limits learned from every answer, and a probe while nothing is answered."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from deployments.llm.provider_limits import ProviderLimits
from domain.errors import AppError, RateLimited
from domain.generation import GenerationRequest, Usage
from storage.models.provider_errors import is_fault, provider_error
from storage.models.tokenizer import EstimatedTokenCounter

log = structlog.get_logger(__name__)

PROBE_SECONDS = 10.0
"""Between two probes of a provider that has failed and answered nothing since."""


class ProviderLink:
    """Of one engine; `probe` raises an exception of the SDK when the provider does not answer."""

    def __init__(self, engine: str, limits: ProviderLimits, probe: Callable[[], Awaitable[Any]]) -> None:
        self._engine = engine
        self._limits = limits
        self._probe = probe
        self._well = True
        self._reachable = True
        """As the last probe found it."""
        self._probed_at = float("-inf")

    async def begin(self, model: str, create: Callable[[], Awaitable[Any]]) -> Any:
        """The stream that `create` opens; what it raises goes to `failed`.

        It is tried once: further attempts are the turn's, which has other engines and a budget for them.
        """
        stream = await create()
        self._well = self._reachable = True
        self._limits.answered(model, stream.response.headers)
        return stream

    def failed(self, model: str, error: Exception, *, begun: bool) -> AppError:
        """Our own error for one of the SDK; `begun` says that text had come already."""
        ours = provider_error(self._engine, error, begun=begun)
        if isinstance(ours, RateLimited):
            headers = getattr(getattr(error, "response", None), "headers", None)
            self._limits.refused(model, headers if headers is not None else {})
        elif is_fault(error):
            self._well = False
        return ours

    async def reachable(self) -> bool:
        """Whether the provider answers; after a fault of its own, a probe that costs nothing finds out."""
        now = time.monotonic()
        if self._well or now - self._probed_at < PROBE_SECONDS:
            return self._well or self._reachable
        self._probed_at = now
        try:
            await self._probe()
        except Exception as error:  # noqa: BLE001 - whatever the SDK and its transport raise
            self._reachable = not is_fault(error)
            log.warning("provider_probed", engine=self._engine, error=type(error).__name__, well=self._reachable)
        else:
            self._well = self._reachable = True
        return self._reachable


def estimated_usage(request: GenerationRequest, written: Sequence[str]) -> Usage:
    """For servers that do not report usage; `written` are the pieces of the answer."""
    count = EstimatedTokenCounter().count
    return Usage(sum(count(message.content) for message in request.messages), count("".join(written)))
