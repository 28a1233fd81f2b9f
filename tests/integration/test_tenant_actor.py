"""The live tenant: admits, runs, stops and commits turns against a real database, with scripted ports."""

import asyncio
from uuid import UUID, uuid4

import pytest

from domain.chatbot import ChatbotConfig
from domain.conversation import Question
from domain.errors import (
    EngineFailed,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TurnRunning,
)
from domain.ids import ChatbotId, SessionId, TurnId
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import fetch_all, tenant_tx
from storage.postgres.sessions import Sessions
from tests.fixtures.desk import Desk, collect, text_of, until
from tests.fixtures.knowledge import KnowledgeBase


async def test_a_turn_is_acked_streamed_and_committed_whole(desk: Desk) -> None:
    actor = await desk.activate()
    events = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert events[0]["k"] == "ack"
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[-1]["k"] == "done"
    [turn] = await desk.rows("turns")
    assert (turn["state"], turn["model"]) == ("completed", "model-a")
    contents = await desk.contents()
    assert contents == {"user": "What does the lamp cost?", "assistant": text_of(events)}
    [entry] = await desk.rows("usage_ledger")
    assert [entry["prompt_tokens"], entry["completion_tokens"], entry["cached_tokens"]] == events[-1]["usage"]
    assert entry["cost_micro"] == 100 + 2 * 3
    assert [row["page"] for row in await desk.rows("citations")] == [1]
    assert [row["kind"] for row in await desk.rows("outbox")] == ["message.completed"]


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
    # Digits would wait: a card number may begin with them.
    desk.generator.script = {"first": ["It costs ", "forty ", "euros."]}
    desk.generator.hang_after = 2
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("forty "))
    assert await actor.stop(desk.session, None)
    seen += await collect(running)
    assert (seen[-1]["k"], seen[-1]["state"]) == ("done", "stopped")
    contents = await desk.contents()
    assert contents["assistant"] == "It costs forty "
    [entry] = await desk.rows("usage_ledger")
    assert entry["completion_tokens"] == 2
    assert not await actor.stop(desk.session, None)


async def test_tokens_that_an_evaluation_used_are_of_the_same_month(desk: Desk) -> None:
    actor = await desk.activate({"max_tokens_per_month": 1000})
    for _ in range(2):
        actor.allowance.spend(ChatbotId(uuid4()), 500, 0, "the same entry, told twice")
    assert actor.allowance.budget.total.tokens == 500
    actor.allowance.spend(ChatbotId(uuid4()), 500, 0, "another")
    with pytest.raises(QuotaExceeded):
        await collect(actor.submit(desk.session, Question(str(uuid4()), "What does the lamp cost?")))
    await actor.close()


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
    # Digits would wait: a card number may begin with them.
    desk.generator.script = {"first": ["It costs ", "forty ", "euros."]}
    desk.generator.hang_after = 2
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("forty "))
    turn = seen[0]["turn"]
    opened = await actor.open_session(desk.session)
    assert opened["active_turn"] == {"turn_id": turn, "epoch": actor.epoch, "seq": seen[-1]["seq"]}
    follower = asyncio.create_task(collect(actor.follow(desk.session, TurnId(UUID(turn)), 1)))
    await actor.stop(desk.session, None)
    rest = await collect(running)
    assert await follower == [event for event in seen + rest if event["seq"] > 1]


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
