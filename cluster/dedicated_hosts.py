"""Which tenants have a session host of their own: those whose plan says so, as many as the installation allows."""

import time

import structlog

from configs.settings import Settings
from configs.tables import load_plans
from domain.errors import Unavailable
from domain.ids import TenantId
from storage.postgres.accounts import Accounts
from storage.postgres.database import Database, system_tx

log = structlog.get_logger()

LOOK_SECONDS = 5.0


class DedicatedHosts:
    """Plans change at any time, by a payment or an operator: the list is read again every few seconds."""

    def __init__(self, settings: Settings, database_urls: tuple[str, str]) -> None:
        self._urls = database_urls
        self._limit = settings.max_dedicated_hosts
        self._plans = [key for key, plan in load_plans().items() if plan.limits.dedicated_host]
        self._db: Database | None = None
        self._tenants: list[TenantId] = []
        self._look_at = float("-inf")

    async def tenants(self) -> list[TenantId]:
        """As they were read last, while the database is away."""
        if self._plans and self._limit and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            try:
                self._tenants = await self._read()
            except Unavailable:
                log.warning("dedicated_hosts.not_read")
        return self._tenants

    async def _read(self) -> list[TenantId]:
        if self._db is None:
            self._db = await Database.open(*self._urls, max_size=1)
        async with system_tx(self._db) as tx:
            return await Accounts(tx).on_plans(self._plans, self._limit)
