"""The live tenant: admits, runs, stops and commits turns against a real database, with scripted ports."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from actors.fair_share import FairShare
from actors.live_turn import Event, LiveTurn
from actors.replay_log import ReplayLog
from actors.running_turn import TurnTools
from actors.tenant_actor import HostParts, TenantActor
from actors.turn_record import TurnRecord
from configs.tables import ModelTable, load_plans
from domain.chatbot import ChatbotConfig
from domain.conversation import Question
from domain.errors import (
    EngineFailed,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    StaleEpoch,
    TurnRunning,
    Unavailable,
)
from domain.ids import ChatbotId, SessionId, TenantId, TurnId
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import fetch_all, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.sessions import Sessions
from storage.postgres.turns import Turns
from storage.redis.client import connect_redis_for_bytes
from storage.redis.turn_events import TurnEvents
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.twins import TwinGenerator, passage, turn_ports

TABLE = ModelTable.model_validate(
    {
        "engines": {"first": {"kind": "scripted"}},
        "models": {
            name: {"engines": ["first"], "context_tokens": 400, "price_micro_per_token": {"prompt": 1, "completion": 2}}
            for name in ("model-a", "model-b")
        },
    }
)
LAMP = passage("The lamp costs 40 euros and ships in blue.")


class Desk:
    """A tenant with a bot and a session, and its live actor."""

    def __init__(self, knowledge: KnowledgeBase, tenant: TenantId, session: SessionId, redis: Redis) -> None:
        self.redis = redis
        self.replay = ReplayLog(TurnEvents(redis))
        self.announced: list[LiveTurn] = []
        self.recovered = 0
        self.knowledge = knowledge
        self.tenant = tenant
        self.session = session
        self.generator = TwinGenerator({"first": ["It costs ", "40 ", "euros."]})

    async def activate(self, limits: dict[str, Any] | None = None, **parts: Any) -> TenantActor:
        """What a session host does on first use; another call takes the tenant from the earlier actor."""
        plans = load_plans()
        if limits:
            free = plans["free"]
            plans = {"free": free.model_copy(update={"limits": free.limits.model_copy(update=limits)})}
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            epoch = await Turns(tx, self.tenant).claim_epoch("test")
            used = await Ledger(tx).tokens_this_month(self.tenant)
        db = self.knowledge.db
        tools = TurnTools(
            db=db,
            record=TurnRecord(db, TABLE),
            ports_of=lambda model, reserve: turn_ports(self.generator, [LAMP], reserve=reserve),
            timeout_seconds=parts.pop("timeout_seconds", 30),
        )
        defaults: dict[str, Any] = {
            "tools": tools,
            "plans": plans,
            "share": FairShare(64),
            "replay": self.replay,
            "resolve_model": lambda model: "model-a",
            "announce": self.announced.append,
            "restart_orphans": True,
        }
        actor = TenantActor(HostParts(**{**defaults, **parts}), self.tenant, epoch, "free", used)
        self.recovered = await actor.recover()
        return actor

    async def flush(self) -> None:
        """Lose the tenant's kept events, as an emptied Redis does."""
        async for key in self.redis.scan_iter(match=f"replay:{self.tenant}:*"):
            await self.redis.delete(key)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            return [dict(row) for row in await fetch_all(tx, f"select * from {table} order by 1, 2")]


@pytest.fixture
async def desk(knowledge: KnowledgeBase, redis_url: str) -> AsyncIterator[Desk]:
    tenant, _ = await knowledge.new_bot()
    async with tenant_tx(knowledge.db, tenant) as tx:
        made = await Chatbots(tx).insert(tenant, "Lamps", ChatbotConfig())
        session = await Sessions(tx).insert(tenant, ChatbotId(made.id), "")
    redis = connect_redis_for_bytes(redis_url, 1.0)
    desk = Desk(knowledge, tenant, session.id, redis)
    writing = asyncio.create_task(desk.replay.run())
    yield desk
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await redis.aclose()


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def until(events: AsyncGenerator[Event, None], condition: Callable[[Event], bool]) -> list[Event]:
    seen = []
    async for event in events:
        seen.append(event)
        if condition(event):
            return seen
    raise AssertionError(f"the stream ended: {seen}")


def text_of(events: Sequence[Event]) -> str:
    return "".join(event["text"] for event in events if event["k"] == "token")


async def test_a_turn_is_acked_streamed_and_committed_whole(desk: Desk) -> None:
    actor = await desk.activate()
    events = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert events[0]["k"] == "ack"
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[-1]["k"] == "done"
    [turn] = await desk.rows("turns")
    assert (turn["state"], turn["model"]) == ("completed", "model-a")
    contents = {row["role"]: row["content"] for row in await desk.rows("messages")}
    assert contents == {"user": "What does the lamp cost?", "assistant": text_of(events)}
    [entry] = await desk.rows("usage_ledger")
    assert [entry["prompt_tokens"], entry["completion_tokens"], entry["cached_tokens"]] == events[-1]["usage"]
    assert entry["cost_micro"] == 100 + 2 * 3
    assert [row["page"] for row in await desk.rows("citations")] == [1]
    assert [row["kind"] for row in await desk.rows("outbox")] == ["message.completed"]


async def test_a_resend_streams_the_first_turn_also_after_passivation(desk: Desk) -> None:
    actor = await desk.activate()
    first = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    again = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert again[0]["duplicate"]
    assert again[1:] == first[1:]
    later = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert later[0]["turn"] == first[0]["turn"]
    assert text_of(later) == text_of(first)
    assert later[-1]["usage"] == first[-1]["usage"]
    assert len(await desk.rows("messages")) == 2


async def test_one_turn_at_a_time_in_a_session(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "one"))
    await until(running, lambda event: event["k"] == "token")
    with pytest.raises(TurnRunning):
        await collect(actor.submit(desk.session, Question("c2", "two")))
    assert await actor.stop(desk.session, None)
    await collect(running)
    assert len(await desk.rows("turns")) == 1


async def test_stop_keeps_and_bills_what_was_said(desk: Desk) -> None:
    desk.generator.hang_after = 2
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("40 "))
    assert await actor.stop(desk.session, None)
    seen += await collect(running)
    assert (seen[-1]["k"], seen[-1]["state"]) == ("done", "stopped")
    contents = {row["role"]: row["content"] for row in await desk.rows("messages")}
    assert contents["assistant"] == "It costs 40 "
    [entry] = await desk.rows("usage_ledger")
    assert entry["completion_tokens"] == 2
    assert not await actor.stop(desk.session, None)


async def test_the_month_budget_holds_under_parallel_turns(desk: Desk) -> None:
    actor = await desk.activate({"max_tokens_per_month": 1000})
    sessions = []
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        [bot] = await fetch_all(tx, "select chatbot_id from sessions limit 1")
        sessions = [(await Sessions(tx).insert(desk.tenant, bot["chatbot_id"], "")).id for _ in range(6)]
    desk.generator.hang_after = 1
    streams = [actor.submit(session, Question(str(uuid4()), "What does the lamp cost?")) for session in sessions]
    outcomes = await asyncio.gather(
        *(until(stream, lambda event: event["k"] in ("token", "error")) for stream in streams), return_exceptions=True
    )
    running = [o for o in outcomes if isinstance(o, list) and o[-1]["k"] == "token"]
    refused = [o for o in outcomes if isinstance(o, QuotaExceeded) or (isinstance(o, list) and o[-1]["k"] == "error")]
    # A reservation is the prompt and 256 tokens of answer: three fit into a thousand.
    assert (len(running), len(refused)) == (3, 3)
    assert all(o[-1]["code"] == "quota_exceeded" for o in refused if isinstance(o, list))
    await actor.close()


async def test_a_stale_actor_can_neither_accept_nor_complete(desk: Desk) -> None:
    desk.generator.hang_after = 2
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("40 "))
    turn = TurnId(UUID(seen[0]["turn"]))
    new = await desk.activate()
    assert desk.recovered == 1
    # What was shown is kept and billed by the process that took over; the old one only lets go.
    rest = await collect(new.follow(desk.session, turn, seen[-1]["seq"], seen[-1]["epoch"]))
    assert [(event["k"], event.get("state")) for event in rest] == [("done", "interrupted")]
    desk.generator.hang_after = None
    with pytest.raises(StaleEpoch):
        await collect(old.submit(desk.session, Question("c2", "again")))
    await old.stop(desk.session, None)
    with pytest.raises(Unavailable):
        await collect(running)
    [row] = await desk.rows("turns")
    assert (row["state"], row["epoch"]) == ("interrupted", new.epoch)
    assert [entry["completion_tokens"] for entry in await desk.rows("usage_ledger")] == [2]
    assert (await collect(new.submit(desk.session, Question("c3", "again"))))[-1]["k"] == "done"


async def test_a_turn_that_showed_nothing_runs_again_elsewhere(desk: Desk) -> None:
    desk.generator.hang_after = 0
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "status")
    desk.generator.hang_after = None
    new = await desk.activate()
    rest = await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"], seen[-1]["epoch"]))
    assert text_of(rest) == "It costs 40 euros."
    assert [event["seq"] for event in rest] == list(range(seen[-1]["seq"] + 1, rest[-1]["seq"] + 1))
    assert [row["state"] for row in await desk.rows("turns")] == ["completed"]
    assert len(await desk.rows("usage_ledger")) == 1
    await old.close()


async def test_a_setting_closes_turns_of_a_dead_process_instead(desk: Desk) -> None:
    desk.generator.hang_after = 0
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "status")
    new = await desk.activate(restart_orphans=False)
    end = (await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"])))[-1]
    assert (end["k"], end["code"]) == ("error", "engine_failed")
    assert [row["role"] for row in await desk.rows("messages")] == ["user"]
    await old.close()


async def test_a_question_beyond_the_plan_waits_with_a_position(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate({"max_concurrent_turns": 1, "max_queued_turns": 1})
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        [bot] = await fetch_all(tx, "select chatbot_id from sessions limit 1")
        second, third = [(await Sessions(tx).insert(desk.tenant, bot["chatbot_id"], "")).id for _ in range(2)]
    first = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    await until(first, lambda event: event["k"] == "token")
    waiting = actor.submit(second, Question("c2", "What does the lamp cost?"))
    queued = await until(waiting, lambda event: event["k"] == "status")
    assert (queued[-1]["stage"], queued[-1]["position"]) == ("queued", 1)
    with pytest.raises(RateLimited):
        await collect(actor.submit(third, Question("c3", "What does the lamp cost?")))
    desk.generator.hang_after = None
    await actor.stop(desk.session, None)
    assert (await collect(waiting))[-1]["state"] == "completed"
    assert len(await desk.rows("turns")) == 2


async def test_a_turn_stopped_in_the_queue_ends_without_an_answer(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate({"max_concurrent_turns": 1})
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        [bot] = await fetch_all(tx, "select chatbot_id from sessions limit 1")
        other = (await Sessions(tx).insert(desk.tenant, bot["chatbot_id"], "")).id
    await until(actor.submit(desk.session, Question("c1", "one")), lambda event: event["k"] == "token")
    waiting = actor.submit(other, Question("c2", "two"))
    await until(waiting, lambda event: event["k"] == "status")
    assert await actor.stop(other, None)
    assert (await collect(waiting))[-1]["state"] == "stopped"
    await actor.close()


async def test_many_followers_see_the_same_events_from_where_they_are(desk: Desk) -> None:
    desk.generator.hang_after = 2
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("40 "))
    turn = seen[0]["turn"]
    opened = await actor.open_session(desk.session)
    assert opened["active_turn"] == {"turn_id": turn, "epoch": actor.epoch, "seq": seen[-1]["seq"]}
    follower = asyncio.create_task(collect(actor.follow(desk.session, TurnId(UUID(turn)), 1)))
    await actor.stop(desk.session, None)
    rest = await collect(running)
    assert await follower == [event for event in seen + rest if event["seq"] > 1]


async def test_a_late_reader_gets_the_rest_of_the_events(desk: Desk) -> None:
    events = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    turn = TurnId(UUID(events[0]["turn"]))
    later = await collect((await desk.activate()).follow(desk.session, turn, 3, events[3]["epoch"]))
    assert later == events[4:]


async def test_once_the_events_are_gone_a_late_reader_gets_the_answer_in_their_place(desk: Desk) -> None:
    events = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    turn = TurnId(UUID(events[0]["turn"]))
    await desk.flush()
    later = await collect((await desk.activate()).follow(desk.session, turn, 3))
    assert [(event["k"], event["seq"]) for event in later] == [("gap", 4), ("citations", 5), ("done", 6)]
    assert later[0]["text"] == text_of(events)


async def test_a_seq_from_the_future_is_refused(desk: Desk) -> None:
    actor = await desk.activate()
    events = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    with pytest.raises(InvalidInput):
        await collect(actor.follow(desk.session, TurnId(UUID(events[0]["turn"])), 1000))


async def test_an_engine_failure_ends_the_turn_and_frees_the_session(desk: Desk) -> None:
    desk.generator.script = {"first": [EngineFailed()], "second": [EngineFailed()]}
    actor = await desk.activate()
    events = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert (events[-1]["k"], events[-1]["code"]) == ("error", "engine_failed")
    assert [row["state"] for row in await desk.rows("turns")] == ["failed"]
    desk.generator.script = {"first": ["ok"]}
    assert (await collect(actor.submit(desk.session, Question("c2", "again"))))[-1]["k"] == "done"


async def test_unknown_and_foreign_sessions_are_not_there(desk: Desk, knowledge: KnowledgeBase) -> None:
    actor = await desk.activate()
    other, _ = await knowledge.new_bot()
    async with tenant_tx(knowledge.db, other) as tx:
        made = await Chatbots(tx).insert(other, "Other", ChatbotConfig())
        foreign = (await Sessions(tx).insert(other, ChatbotId(made.id), "")).id
    for session in (SessionId(uuid4()), foreign):
        for call in (actor.open_session(session), collect(actor.submit(session, Question("c", "hi")))):
            with pytest.raises(NotFound):
                await call
