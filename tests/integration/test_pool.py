"""Connections that the server closed are replaced, and those that a caller left in another mode."""

from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from domain.ids import TenantId, new_uuid
from storage.postgres.database import Database, fetch_one, tenant_tx
from storage.postgres.migrator import migrate, role_urls

SECRET = "pool-secret-of-a-test-that-is-long-enough"
CONNECTIONS = 2
TENANT = TenantId(new_uuid())
KILL_THE_OTHERS = (
    "select count(*) filter (where pg_terminate_backend(pid, 5000)) from pg_stat_activity"
    " where application_name = 'loquent-app' and datname = current_database()"
)


@pytest.fixture
async def url(make_database: Callable[[], str]) -> str:
    made = make_database()
    await migrate(made, SECRET)
    return made


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    database = await Database.open(*role_urls(url, SECRET), min_size=CONNECTIONS, max_size=CONNECTIONS)
    await database.app.wait()
    yield database
    await database.close()


async def _tenant_of_a_transaction(db: Database) -> str:
    """In two round trips, which only a real transaction holds together."""
    async with tenant_tx(db, TENANT) as tx:
        await fetch_one(tx, "select 1 as one")
        async with tx.pipeline():
            row = await fetch_one(tx, "select current_setting('app.tenant') as tenant")
    assert row is not None
    return str(row["tenant"])


async def test_every_connection_may_die(db: Database, url: str) -> None:
    assert await _tenant_of_a_transaction(db) == str(TENANT)
    async with await psycopg.AsyncConnection.connect(role_urls(url, SECRET)[0], autocommit=True) as colleague:
        [count] = await (await colleague.execute(KILL_THE_OTHERS)).fetchone() or (0,)
    assert count == CONNECTIONS
    for _ in range(2 * CONNECTIONS):
        assert await _tenant_of_a_transaction(db) == str(TENANT)


async def test_a_connection_left_in_autocommit_is_not_handed_out_again(db: Database) -> None:
    for _ in range(CONNECTIONS):
        async with db.app.connection() as connection:
            await connection.set_autocommit(True)
    for _ in range(2 * CONNECTIONS):
        assert await _tenant_of_a_transaction(db) == str(TENANT)
