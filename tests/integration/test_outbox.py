"""The outbox: what is published again after Redis was emptied, and that it waits for the round under way."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from domain.events import EventKind
from domain.ids import TenantId, new_uuid
from storage.postgres.database import Database, execute, fetch_one, system_tx
from storage.postgres.migrator import migrate, role_urls
from storage.postgres.outbox import Outbox
from tests.fixtures.database import DATABASE_SECRET

WAITING = "select count(*) as waiting from pg_locks where locktype = 'advisory' and not granted"
HANDLE = """
    insert into handled_events (consumer, event_id, tenant_id)
    select 'usage', id, tenant_id from outbox where id = %(id)s"""


@pytest.fixture
async def db(make_database: Callable[[], str]) -> AsyncIterator[Database]:
    url = make_database()
    await migrate(url, DATABASE_SECRET)
    database = await Database.open(*role_urls(url, DATABASE_SECRET))
    yield database
    await database.close()


async def published(db: Database, count: int) -> list[int]:
    async with system_tx(db) as tx:
        outbox = Outbox(tx)
        for _ in range(count):
            await outbox.append(TenantId(new_uuid()), EventKind.MESSAGE_COMPLETED, "session:1", {})
        events = await outbox.take_unpublished(1_000)
        await outbox.mark_published([event.id for event in events])
    return [event.id for event in events]


async def unpublished(db: Database) -> list[int]:
    async with system_tx(db) as tx:
        return [event.id for event in await Outbox(tx).take_unpublished(1_000)]


async def test_what_its_consumer_has_recorded_is_not_published_again(db: Database) -> None:
    ids = await published(db, 3)
    async with system_tx(db) as tx:
        await execute(tx, HANDLE, id=ids[1])
    async with system_tx(db) as tx:
        assert await Outbox(tx).publish_again(["usage"]) == 2
    assert await unpublished(db) == [ids[0], ids[2]]


async def test_it_waits_for_the_round_under_way(db: Database) -> None:
    """Else a round that appended before the loss would mark its events published after they were taken back."""
    async with system_tx(db) as tx:
        await Outbox(tx).append(TenantId(new_uuid()), EventKind.MESSAGE_COMPLETED, "session:1", {})

    async def again() -> int:
        async with system_tx(db) as tx:
            return await Outbox(tx).publish_again(["usage"])

    async def until_it_waits() -> None:
        async with asyncio.timeout(30):
            while True:
                async with system_tx(db) as tx:
                    row = await fetch_one(tx, WAITING)
                if row is not None and row["waiting"]:
                    return

    async with system_tx(db) as tx:
        outbox = Outbox(tx)
        events = await outbox.take_unpublished(10)
        taking_back = asyncio.create_task(again())
        await until_it_waits()
        await outbox.mark_published([event.id for event in events])
    assert await taking_back == len(events) == 1
