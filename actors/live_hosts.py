"""Tells every session host to let go of sessions that were erased."""

import asyncio
from collections.abc import Sequence

from actors.streams import StreamPool
from domain.errors import Unavailable
from domain.ids import TenantId
from domain.placement import slot_of
from storage.redis.registry import EndpointRegistry

SERVICE = "session-host"
SESSIONS_PER_CALL = 1_000
CALL_SECONDS = 30.0


async def address_of(registry: EndpointRegistry, slots: int, tenant_id: TenantId) -> str:
    """Of the host that serves the tenant. Raises Unavailable as long as there is none, and RedisError."""
    found = {endpoint.instance: endpoint.address for endpoint in await registry.list(SERVICE)}
    address = found.get(str(tenant_id)) or found.get(str(slot_of(tenant_id, slots)))
    if address is None:
        raise Unavailable("The conversations' process is starting; try again.")
    return address


class LiveHosts:
    def __init__(self, registry: EndpointRegistry, pool: StreamPool) -> None:
        self._registry = registry
        self._pool = pool

    async def let_go(self, tenant_id: TenantId, sessions: Sequence[str] | None) -> int:
        """End turns and sockets of these sessions, or of all the tenant's; how many turns ran. May be repeated.

        Raises RedisError, Unavailable and TimeoutError: a host that did not answer may still have some.
        """
        stopped = 0
        for endpoint in await self._registry.list(SERVICE):
            for named in _parts(sessions):
                payload = {"tenant_id": str(tenant_id), "sessions": named}
                async with asyncio.timeout(CALL_SECONDS):
                    stopped += int((await self._pool.call(endpoint.address, "erase", payload))["stopped"])
        return stopped


def _parts(sessions: Sequence[str] | None) -> list[list[str] | None]:
    if sessions is None:
        return [None]
    return [list(sessions[at : at + SESSIONS_PER_CALL]) for at in range(0, len(sessions), SESSIONS_PER_CALL)]
