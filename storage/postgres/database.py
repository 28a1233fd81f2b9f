"""Connection pools and the two doors to SQL: one tenant's transaction, and the rare system transaction."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from domain.errors import Unavailable
from domain.ids import TenantId
from storage.postgres.queries import load


class Transaction(AsyncConnection[DictRow]):
    """A connection inside a transaction; repositories take it and never commit."""

    used_at = float("-inf")
    """When it was last given back, on the monotonic clock."""


Pool = AsyncConnectionPool[Transaction]

CHECK_AFTER_SECONDS = 2.0
"""How long a connection is trusted without asking it; a check costs a round trip."""
WAIT_SECONDS = 10.0
"""For a connection."""
AWAY = "The database is not available at the moment; try again."
TENANT_CONNECTIONS = 2
"""Transactions of one tenant at once in a process: others do not wait behind a tenant whose turns end together."""
_ROLE = load("database")


class Database:
    """One pool per role. `app` sees a single tenant, `system` may look across tenants."""

    def __init__(self, app: Pool, system: Pool) -> None:
        self.app = app
        self.system = system
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
    async def open(cls, app_url: str, system_url: str, *, min_size: int = 1, max_size: int = 8) -> Self:
        """Open both pools; the server may come later, the first transaction waits for it."""
        app = _pool(app_url, "loquent-app", min_size, max_size)
        system = _pool(system_url, "loquent-system", 0, max(2, max_size // 2))
        await app.open()
        await system.open()
        return cls(app, system)

    async def close(self) -> None:
        await self.app.close()
        await self.system.close()


def _pool(url: str, name: str, min_size: int, max_size: int) -> Pool:
    return AsyncConnectionPool(
        url,
        connection_class=Transaction,
        min_size=min_size,
        max_size=max_size,
        open=False,
        timeout=WAIT_SECONDS,
        max_idle=300,
        check=_check,
        kwargs={
            "row_factory": dict_row,
            "application_name": name,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "tcp_user_timeout": 15_000,
            "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
        },
    )


async def _check(connection: Transaction) -> None:
    if time.monotonic() - connection.used_at > CHECK_AFTER_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


@asynccontextmanager
async def _transaction(pool: Pool) -> AsyncIterator[Transaction]:
    try:
        async with pool.connection() as tx:
            yield tx
            tx.used_at = time.monotonic()
    except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(AWAY) from error


@asynccontextmanager
async def tenant_tx(db: Database, tenant: TenantId) -> AsyncIterator[Transaction]:
    """A transaction that sees and writes `tenant`'s rows only. Commits at the end, rolls back on an exception.

    Statements travel in a pipeline: those that nobody waits for (`queue`) leave together with the next one.
    Raises Unavailable when the database cannot be reached; then nothing is known to be committed.
    """
    async with db.seat(tenant), _transaction(db.app) as tx, tx.pipeline():
        await queue(tx, _ROLE["set_tenant"], tenant=str(tenant))
        yield tx


@asynccontextmanager
async def system_tx(db: Database) -> AsyncIterator[Transaction]:
    """A transaction across tenants; `tests/test_architecture.py` lists who may use it."""
    async with _transaction(db.system) as tx:
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
