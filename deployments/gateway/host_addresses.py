"""Where the session hosts are, as the registry said last: Redis may be away, and calls do not wait for it."""

import asyncio
import time

import structlog
from redis.exceptions import RedisError

from deployments.gateway.services import Registry
from deployments.gateway.unattended import unattended
from domain.errors import Unavailable
from domain.ids import TenantId
from domain.placement import slot_of

log = structlog.get_logger()

SERVICE = "session-host"
_FRESH_SECONDS = 1.0
_READ_SECONDS = 1.0


class HostAddresses:
    """A host is named by its slot, or by the tenant that it serves alone."""

    def __init__(self, registry: Registry, slots: int) -> None:
        self._registry = registry
        self._slots = slots
        self._known: dict[str, str] = {}
        self._listed: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def names(self) -> list[str]:
        """Every host known."""
        await self._refresh()
        return list(self._known)

    async def host_of(self, tenant_id: TenantId) -> str:
        """The tenant's own host when there is one, the host of its slot otherwise."""
        if not self._known:
            await self._refresh()
        own = str(tenant_id)
        return own if own in self._known else str(slot_of(tenant_id, self._slots))

    async def of(self, host: str) -> str:
        """`host:port` of a host. Raises Unavailable as long as it was never announced.

        While Redis is away, and after it was emptied, the last address known is as good as any.
        """
        if host not in self._known:
            await self._refresh()
        elif self._is_old and not self._reading.locked():
            unattended(self._refresh())
        address = self._known.get(host)
        if address is None:
            raise Unavailable("The conversation's process is starting; try again.", retry_after=2)
        return address

    async def asked_again(self, tenant_id: TenantId) -> str:
        """The address of the tenant's host, looked up when it was not so lately. Raises Unavailable."""
        await self._refresh()
        return await self.of(await self.host_of(tenant_id))

    async def lost(self, host: str) -> None:
        """A host did not answer: look again where it is. A tenant's own host that is gone gives way to the slot's."""
        self._read_at = float("-inf")
        await self._refresh()
        if host not in self._listed and not host.isdecimal():
            self._known.pop(host, None)

    @property
    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > _FRESH_SECONDS

    async def _refresh(self) -> None:
        if not self._is_old:
            return
        async with self._reading:
            if self._is_old:
                await self._read()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                found = await self._registry.list(SERVICE)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("session_hosts.not_listed", error=type(error).__name__)
        else:
            self._known |= {endpoint.instance: endpoint.address for endpoint in found}
            self._listed = frozenset(endpoint.instance for endpoint in found)
        self._read_at = time.monotonic()
