"""Connection pools and the two doors to SQL: one tenant's transaction, and the rare system transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout

from domain.errors import Unavailable
from domain.ids import TenantId
from storage.keys import Vault
from storage.postgres.pool import WAIT_SECONDS, Pool, make_pool
from storage.postgres.pool import Transaction as Transaction  # noqa: PLC0414 - repositories take it from here
from storage.postgres.queries import load

AWAY = "The database is not available at the moment; try again."
TENANT_CONNECTIONS = 2
"""Transactions of one tenant at once in a process: others do not wait behind a tenant whose turns end together."""
_ROLE = load("database")


class Database:
    """One pool per role. `app` sees a single tenant, `system` may look across tenants.

    Without a `vault` nothing sealed can be written or read.
    """

    def __init__(self, app: Pool, system: Pool, vault: Vault | None = None) -> None:
        self.app = app
        self.system = system
        self.vault = vault
        self._seats: WeakValueDictionary[TenantId, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def seat(self, tenant: TenantId) -> AsyncIterator[None]:
        """Held while a transaction of `tenant` runs. Raises Unavailable when the others of the tenant hang."""
        seats = self._seats.setdefault(tenant, asyncio.Semaphore(TENANT_CONNECTIONS))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await seats.acquire()
        except TimeoutError as error:
            raise Unavailable(AWAY) from error
        try:
            yield
        finally:
            seats.release()

    @classmethod
    async def open(
        cls, app_url: str, system_url: str, *, vault: Vault | None = None, min_size: int = 1, max_size: int = 8
    ) -> Self:
        """Open both pools; the server may come later, the first transaction waits for it."""
        app = make_pool(app_url, "loquent-app", min_size, max_size)
        system = make_pool(system_url, "loquent-system", 0, max(2, max_size // 2))
        await app.open()
        await system.open()
        return cls(app, system, vault)

    async def close(self) -> None:
        await self.app.close()
        await self.system.close()


@asynccontextmanager
async def _transaction(pool: Pool, vault: Vault | None = None) -> AsyncIterator[Transaction]:
    try:
        async with pool.connection() as tx:
            # What the last transaction of the connection had read is not this one's.
            tx.vault, tx.cipher = vault, None
            yield tx
    except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(AWAY) from error


@asynccontextmanager
async def tenant_tx(db: Database, tenant: TenantId) -> AsyncIterator[Transaction]:
    """A transaction that sees and writes `tenant`'s rows only. Commits at the end, rolls back on an exception.

    Statements travel in a pipeline: those that nobody waits for (`queue`) leave together with the next one.
    Raises Unavailable when the database cannot be reached; then nothing is known to be committed.
    """
    async with db.seat(tenant), _transaction(db.app, db.vault) as tx, tx.pipeline():
        await queue(tx, _ROLE["set_tenant"], tenant=str(tenant))
        yield tx


@asynccontextmanager
async def system_tx(db: Database) -> AsyncIterator[Transaction]:
    """A transaction across tenants; `tests/test_architecture.py` lists who may use it."""
    async with _transaction(db.system, db.vault) as tx:
        yield tx


async def ping(db: Database) -> None:
    """Raises Unavailable when the database does not answer."""
    async with _transaction(db.app) as tx:
        await tx.execute(_ROLE["ping"])


async def fetch_all(tx: Transaction, sql: str, **values: Any) -> list[DictRow]:
    return await (await tx.execute(sql, values)).fetchall()


async def fetch_one(tx: Transaction, sql: str, **values: Any) -> DictRow | None:
    return await (await tx.execute(sql, values)).fetchone()


async def execute(tx: Transaction, sql: str, **values: Any) -> int:
    """Run a statement; the number of rows it touched."""
    async with tx.pipeline():
        cursor = await tx.execute(sql, values)
    return cursor.rowcount


async def queue(tx: Transaction, sql: str, **values: Any) -> None:
    """Send a statement without waiting for it: its error, if any, comes out of a later call or the commit."""
    await tx.execute(sql, values)
