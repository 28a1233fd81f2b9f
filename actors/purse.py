"""Asks a tenant's live actor for what may be used beside its turns, and tells it what was used."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Any, Protocol, Self
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from actors.live_hosts import address_of
from actors.streams import StreamPool
from configs.settings import Settings
from domain.errors import Unavailable
from domain.ids import ChatbotId, TenantId, new_uuid
from domain.metering import Tally
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry

log = structlog.get_logger()

TRY_AGAIN_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Between the tries while a host is being restarted."""


class Streams(Protocol):
    def stream(self, address: str, method: str, payload: Any) -> AsyncGenerator[Any, None]: ...

    async def call(self, address: str, method: str, payload: Any) -> Any: ...


class HostPurse:
    """Grants of the tenant's session host: without one nothing may begin, so a host that is away costs nothing."""

    def __init__(self, streams: Streams, address_of: Callable[[TenantId], Awaitable[str]]) -> None:
        """`address_of` raises Unavailable as long as it knows none, and looks again when it is asked again."""
        self._streams = streams
        self._address_of = address_of

    @classmethod
    def within(cls, stack: AsyncExitStack, settings: Settings) -> Self:
        """With a connection to the hosts of its own, which the stack closes."""
        redis = connect_redis(settings.redis_url or "")
        stack.push_async_callback(redis.aclose)
        pool = StreamPool(settings.secret_key.get_secret_value())
        stack.push_async_callback(pool.close)
        return cls(pool, partial(address_of, EndpointRegistry(redis), settings.session_hosts))

    @asynccontextmanager
    async def grant(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, tokens: int, *, at_least: int | None = None, price: int = 0
    ) -> AsyncIterator[int]:
        """Hold `tokens`, or what is left when that is `at_least` so many, until the context is left.

        `price` is the most that a million of them can cost, in micro-units. Raises QuotaExceeded, NotFound for a bot
        that is gone, and Unavailable.
        """
        place = {"tenant_id": str(tenant_id), "chatbot_id": str(chatbot_id)}
        payload = {**place, "tokens": tokens, "at_least": at_least, "price": price}
        stream, granted = await self._first(tenant_id, payload)
        async with aclosing(stream):
            yield granted

    async def spend(self, tenant_id: TenantId, chatbot_id: ChatbotId, tally: Tally, entry: UUID | None = None) -> None:
        """Tell what the ledger has from now on; each `entry` counts once, however often it is told.

        A host that cannot be told reads the ledger when it takes the tenant.
        """
        payload = {
            "tenant_id": str(tenant_id),
            "chatbot_id": str(chatbot_id),
            "entry": str(entry or new_uuid()),
            "tokens": tally.usage.total_tokens,
            "cost_micro": tally.cost_micro,
        }
        for pause in (*TRY_AGAIN_SECONDS, None):
            try:
                await self._streams.call(await self._address_of(tenant_id), "spend", payload)
                return
            except (Unavailable, RedisError) as error:
                if pause is None:
                    log.warning("budget.not_told", tenant=str(tenant_id), error=repr(error))
                    return
                await asyncio.sleep(pause)

    async def _first(self, tenant_id: TenantId, payload: dict[str, Any]) -> tuple[AsyncGenerator[Any, None], int]:
        for pause in (*TRY_AGAIN_SECONDS, None):
            stream: AsyncGenerator[Any, None] | None = None
            try:
                stream = self._streams.stream(await self._address_of(tenant_id), "grant", payload)
                return stream, int((await anext(stream))["tokens"])
            except (Unavailable, StopAsyncIteration, RedisError) as error:
                if pause is None:
                    raise Unavailable from error
            except BaseException:
                if stream is not None:
                    await stream.aclose()
                raise
            await asyncio.sleep(pause)
        raise AssertionError
