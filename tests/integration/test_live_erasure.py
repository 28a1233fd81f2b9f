"""Erasure of what is live: the tenant's actor lets go of turns, and nothing of them is stored or shown afterwards."""

import asyncio
from uuid import UUID

import pytest

from actors.announcements import Announcements
from actors.live_hosts import LiveHosts
from billing.account import StripeAccount
from billing.ending import end_subscriptions
from billing.subscriptions import Billing
from cluster.embedded import Running
from configs.settings import Settings
from domain.audit import ActorKind, Origin
from domain.conversation import Question
from domain.erasure import ErasureKind
from domain.errors import NotFound, Unavailable
from domain.ids import SessionId, TenantId, new_uuid
from storage.postgres.billing import BillingRows
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.erased_rows import erase
from tests.fixtures.desk import Desk, collect, until


async def erase_session(desk: Desk) -> None:
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        await erase(tx, desk.tenant, ErasureKind.SESSION, desk.session, "user:x")


async def replays(desk: Desk) -> int:
    return len([key async for key in desk.redis.scan_iter(match=f"replay:{desk.tenant}:*")])


async def test_a_running_turn_ends_without_a_trace(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate()
    events = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    await until(events, lambda event: event["k"] == "token")
    await erase_session(desk)
    assert await actor.let_go(frozenset((desk.session,))) == 1
    assert desk.generator.cancelled
    with pytest.raises(Unavailable):
        await collect(events)
    for table in ("sessions", "turns", "messages", "usage_ledger", "outbox"):
        assert await desk.rows(table) == [], table
    kept = await replays(desk)
    await asyncio.sleep(0)
    assert await replays(desk) == kept, "nothing more is written"
    with pytest.raises(NotFound):
        await collect(actor.submit(desk.session, Question("c2", "Hello?")))
    assert await actor.let_go(frozenset((desk.session,))) == 0


async def test_an_answer_at_its_end_is_not_stored_after_the_erasure(desk: Desk) -> None:
    """The rows go first: a commit that comes later finds no session, and the turn is given up."""
    desk.generator.hang_after = 2
    actor = await desk.activate()
    events = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    await until(events, lambda event: event["k"] == "token")
    await erase_session(desk)
    assert await actor.stop(desk.session, None)
    with pytest.raises(Unavailable):
        await collect(events)
    assert await desk.rows("messages") == []
    assert await desk.rows("usage_ledger") == []


async def test_only_the_erased_sessions_are_let_go(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate()
    events = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    await until(events, lambda event: event["k"] == "token")
    assert await actor.let_go(frozenset((SessionId(new_uuid()),))) == 0
    assert await actor.stop(desk.session, None)
    assert (await collect(events))[-1]["k"] == "done"
    assert await actor.let_go(None) == 0


async def test_gateways_hear_of_it() -> None:
    announcements, tenant, session = Announcements(), TenantId(new_uuid()), SessionId(new_uuid())
    watch = announcements.watch({})
    first = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    announcements.erased(tenant, frozenset((session,)))
    announcements.erased(tenant, None)
    assert await first == {"tenant": str(tenant), "erased": [str(session)]}
    assert await anext(watch) == {"tenant": str(tenant), "erased": None}
    await watch.aclose()


class TwinRegistry:
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def list(self, service: str) -> list[object]:
        assert service == "session-host"
        return [type("Endpoint", (), {"address": address}) for address in self._addresses]


class TwinPool:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int | None]] = []

    async def call(self, address: str, method: str, payload: dict[str, list[str] | None]) -> dict[str, int]:
        sessions = payload["sessions"]
        self.calls.append((address, method, None if sessions is None else len(sessions)))
        return {"stopped": 1}


async def test_every_host_is_asked_in_parts() -> None:
    pool = TwinPool()
    hosts = LiveHosts(TwinRegistry("a:1", "b:2"), pool)  # type: ignore[arg-type]
    assert await hosts.let_go(TenantId(UUID(int=1)), ["s"] * 1_001) == 4
    assert pool.calls == [(host, "erase", size) for host in ("a:1", "b:2") for size in (1_000, 1)]
    assert await hosts.let_go(TenantId(UUID(int=1)), None) == 2
    assert await hosts.let_go(TenantId(UUID(int=1)), []) == 0


async def test_the_subscription_of_an_erased_company_is_cancelled(desk: Desk, stripe_double: Running) -> None:
    settings = Settings(stripe_base_url=stripe_double.url)
    db = desk.knowledge.db
    billing, account = Billing.open(db, settings), StripeAccount.open(settings)
    try:
        await billing.subscribe(desk.tenant, "pro", "pm_card_visa", Origin(ActorKind.SYSTEM))
        assert await end_subscriptions(db, account, desk.tenant) == 1
        assert await end_subscriptions(db, account, desk.tenant) == 0
    finally:
        await billing.close()
        await account.close()
    async with system_tx(db) as tx:
        [row] = await BillingRows(tx).subscriptions(desk.tenant)
    assert row.status == "canceled"
