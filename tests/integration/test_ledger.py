"""The daily sums of the usage ledger: each event counted once, whatever comes twice or late."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId, new_uuid
from storage.postgres.database import Database, execute, fetch_all, system_tx
from storage.postgres.ledger import Ledger
from storage.postgres.migrator import migrate, role_urls
from tests.fixtures.database import DATABASE_SECRET

ADD_TENANT = "insert into tenants (id, name) values (%(id)s, 'Acme')"
SUMS = """
    select tenant_id, day::text, chatbot_id, turns, prompt_tokens, completion_tokens, cost_micro
    from usage_daily order by day, turns"""


@pytest.fixture
async def db(make_database: Callable[[], str]) -> AsyncIterator[Database]:
    url = make_database()
    await migrate(url, DATABASE_SECRET)
    database = await Database.open(*role_urls(url, DATABASE_SECRET))
    yield database
    await database.close()


def completed(number: int, tenant: TenantId, bot: UUID, day: int = 1, **more: Any) -> OutboxEvent:
    usage = {"chatbot_id": str(bot), "prompt_tokens": 10, "completion_tokens": number, "cost_micro": 3}
    created = datetime(2026, 11, day, 23, 59, tzinfo=UTC)
    return OutboxEvent(number, tenant, EventKind.MESSAGE_COMPLETED, "session:1", usage | more, created)


async def count(db: Database, events: list[OutboxEvent]) -> None:
    async with system_tx(db) as tx:
        await Ledger(tx).count_turns("usage", events)


async def new_tenant(db: Database) -> TenantId:
    tenant = TenantId(new_uuid())
    async with system_tx(db) as tx:
        await execute(tx, ADD_TENANT, id=tenant)
    return tenant


async def sums(db: Database) -> list[tuple[Any, ...]]:
    async with system_tx(db) as tx:
        return [tuple(row.values()) for row in await fetch_all(tx, SUMS)]


async def test_events_are_summed_by_day_and_bot_and_each_counts_once(db: Database) -> None:
    tenant, bot, other = await new_tenant(db), uuid4(), uuid4()
    first = [completed(1, tenant, bot), completed(2, tenant, bot), completed(2, tenant, bot)]
    await count(db, first)
    await count(db, [*first, completed(3, tenant, bot), completed(4, tenant, other, day=2)])
    assert await sums(db) == [
        (tenant, "2026-11-01", bot, 3, 30, 6, 9),
        (tenant, "2026-11-02", other, 1, 10, 4, 3),
    ]


async def test_a_tenant_that_is_gone_does_not_stop_the_others(db: Database) -> None:
    tenant, bot = await new_tenant(db), uuid4()
    await count(db, [completed(1, TenantId(new_uuid()), bot), completed(2, tenant, bot)])
    assert await sums(db) == [(tenant, "2026-11-01", bot, 1, 10, 2, 3)]


async def test_a_batch_with_an_event_that_is_no_such_event_counts_nothing(db: Database) -> None:
    tenant, bot = await new_tenant(db), uuid4()
    with pytest.raises(ValueError, match="invalid literal"):
        await count(db, [completed(1, tenant, bot), completed(2, tenant, bot, prompt_tokens="many")])
    assert await sums(db) == []
