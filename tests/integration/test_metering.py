"""What is used is in the ledger to the token, and no budget is passed: turns, failed turns, and calls beside them."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.tenant_actor import TenantActor
from domain.budget import BudgetKind, BudgetLevel, BudgetNotice
from domain.chatbot import ChatbotConfig
from domain.conversation import Question
from domain.errors import EngineFailed, NotFound, QuotaExceeded, Unavailable
from domain.events import EventKind, OutboxEvent
from domain.generation import Delta, Usage
from domain.ids import ChatbotId, MessageId, SessionId, new_uuid
from domain.mail_texts import budget_text
from domain.metering import CallKind, ModelCall, Tally, UseKind
from pipelines.retention import expire
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import execute, fetch_all, system_tx, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.sessions import Sessions
from storage.postgres.traces import Traces
from tests.fixtures.budget_race import race
from tests.fixtures.desk import Desk, collect, text_of, until
from tests.fixtures.twins import ScriptGenerator

ASKED = "What does the lamp cost?"


async def ask(actor: TenantActor, session: SessionId, text: str = ASKED) -> list[dict[str, Any]]:
    return await collect(actor.submit(session, Question(str(uuid4()), text)))


async def limited(desk: Desk, **budget: Any) -> tuple[ChatbotId, SessionId]:
    """Another bot of the desk's tenant, with a session."""
    config = ChatbotConfig.model_validate({"budget": budget})
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        made = await Chatbots(tx).insert(desk.tenant, "Limited", config)
        return made.id, (await Sessions(tx).insert(desk.tenant, made.id, "")).id


async def bot_of(desk: Desk) -> str:
    return str((await desk.rows("sessions"))[0]["chatbot_id"])


async def test_failed_attempts_and_the_answer_are_one_row_with_its_calls(desk: Desk) -> None:
    desk.generator.script = {"first": [Unavailable()], "second": ["40 euros"]}
    events = await ask(await desk.activate(), desk.session)
    [entry] = await desk.rows("usage_ledger")
    assert [(call["kind"], call["engine"]) for call in entry["calls"]] == [("retry", "first"), ("answer", "second")]
    assert [entry["prompt_tokens"], entry["completion_tokens"], entry["cached_tokens"]] == events[-1]["usage"]
    assert (entry["kind"], entry["cost_micro"]) == ("turn", 100 + 2)


async def test_what_a_turn_without_an_answer_used_is_booked(desk: Desk) -> None:
    desk.generator.hang_after = 0
    actor = await desk.activate(timeout_seconds=0.2)
    events = await ask(actor, desk.session)
    assert events[-1]["code"] == EngineFailed.code
    [entry], [daily] = await desk.rows("usage_ledger"), await desk.rows("usage_daily")
    assert (entry["kind"], entry["completion_tokens"]) == ("failed_turn", 0)
    assert entry["prompt_tokens"] == daily["prompt_tokens"] > 0
    assert daily["turns"] == 0
    assert actor.allowance.budget.total.tokens == entry["prompt_tokens"]


async def test_a_bot_that_spent_its_own_budget_says_so_and_the_others_answer(desk: Desk) -> None:
    actor = await desk.activate()
    bot, session = await limited(desk, monthly_tokens=400, soft_percent=20)
    assert (await ask(actor, session))[-1]["k"] == "done"
    ends = [(await ask(actor, session))[-1] for _ in range(3)]
    assert ends[-1]["code"] == "quota_exceeded"
    assert ends[-1]["message"].startswith("This chatbot's budget of the month is used up; it begins anew on 1 ")
    assert (await ask(actor, desk.session))[-1]["k"] == "done"
    told = [row["payload"] for row in await desk.rows("outbox") if row["kind"] == "budget.reached"]
    assert [(one["level"], one["chatbot_id"], one["limit"]) for one in told] == [
        ("soft", str(bot), 400),
        ("hard", str(bot), 400),
    ]
    # A new host tells nothing again, and counts what there was.
    again = await desk.activate()
    assert (await ask(again, session))[-1]["code"] == "quota_exceeded"
    assert len([row for row in await desk.rows("outbox") if row["kind"] == "budget.reached"]) == 2


async def test_a_bot_has_a_budget_in_money(desk: Desk) -> None:
    actor = await desk.activate()
    _, session = await limited(desk, monthly_cost_micro=200)
    assert (await ask(actor, session))[-1]["code"] == "quota_exceeded"
    assert not desk.generator.requests


async def test_a_visitor_has_a_day(desk: Desk) -> None:
    actor = await desk.activate()
    bot, _ = await limited(desk, visitor_daily_tokens=420)
    visitors = [new_uuid(), new_uuid()]
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        statement = "insert into visitors (tenant_id, id, chatbot_id) values (%(tenant)s, %(id)s, %(bot)s)"
        for visitor in visitors:
            await execute(tx, statement, tenant=desk.tenant, id=visitor, bot=bot)
        sessions = [(await Sessions(tx).insert(desk.tenant, bot, "", visitor)).id for visitor in visitors]  # type: ignore[arg-type]
    codes = [(await ask(actor, sessions[0]))[-1].get("code") for _ in range(4)]
    assert codes[0] is None
    assert codes[-1] == "quota_exceeded"
    told = [row["payload"] for row in await desk.rows("outbox") if row["kind"] == "budget.reached"]
    assert [(one["budget"], one["level"], one["chatbot_id"]) for one in told if one["level"] == "hard"] == [
        ("visitor_tokens", "hard", str(bot))
    ]
    assert (await ask(actor, sessions[1]))[-1]["k"] == "done"
    # Another host asks the ledger what the visitor has had today.
    assert (await ask(await desk.activate(), sessions[0]))[-1]["code"] == "quota_exceeded"


async def test_an_engine_that_counts_more_than_was_reserved_is_cut_off_and_the_next_turn_finds_it_spent(
    desk: Desk,
) -> None:
    actor = await desk.activate()
    _, session = await limited(desk, monthly_tokens=2_000)
    # Longer than anything that the template could add, and an answer without an end.
    more = Delta("It ", 1, usage=Usage(1_900, 1))
    desk.generator = ScriptGenerator({"first": [more, *["and "] * 1_000]})  # type: ignore[assignment]
    events = await ask(actor, session)
    assert "and" not in text_of(events)
    assert events[-1]["usage"][:2] == [1_900, 1]
    assert (await ask(actor, session))[-1]["code"] == "quota_exceeded"
    assert actor.allowance.budget.total.held_tokens == 0


async def test_what_was_used_beside_turns_is_of_the_month_for_the_next_host_too(desk: Desk) -> None:
    tally, bot = Tally(), ChatbotId(UUID(await bot_of(desk)))
    tally.add(ModelCall(CallKind.EMBEDDING, "", "e", Usage(embedded_tokens=70), 5))
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        await Ledger(tx).record_beside(desk.tenant, bot, UseKind.EMBEDDING, tally)
        await Ledger(tx).record_beside(desk.tenant, bot, UseKind.EMBEDDING, Tally())
    assert len(await desk.rows("usage_ledger")) == 1
    [daily] = await desk.rows("usage_daily")
    assert (daily["embedded_tokens"], daily["cost_micro"], daily["turns"]) == (70, 5, 0)
    actor = await desk.activate({"max_tokens_per_month": 70})
    with pytest.raises(QuotaExceeded):
        await ask(actor, desk.session)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "race_seed" in metafunc.fixturenames:
        metafunc.parametrize("race_seed", range(int(metafunc.config.getoption("race_seeds", 2))))


async def test_a_hundred_turns_on_a_budget_for_ten(desk: Desk, race_seed: int) -> None:
    found = await race(desk, race_seed)
    assert found.problems() == []


async def test_stopped_turns_are_booked_as_the_engine_counted(desk: Desk) -> None:
    desk.generator.hang_after = 2
    actor = await desk.activate()
    running = actor.submit(desk.session, Question(str(uuid4()), ASKED))
    await until(running, lambda event: event["k"] == "token")
    await actor.stop(desk.session, None)
    await collect(running)
    [entry] = await desk.rows("usage_ledger")
    assert actor.allowance.budget.total.tokens == entry["prompt_tokens"] + entry["completion_tokens"]
    assert actor.allowance.budget.total.held_tokens == 0


async def test_a_trace_is_kept_with_the_turn_as_its_bot_says(desk: Desk) -> None:
    actor = await desk.activate()
    bots = {"full": desk.session}
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        for detail in ("timings", "off"):
            made = await Chatbots(tx).insert(desk.tenant, detail, ChatbotConfig.model_validate({"traces": detail}))
            bots[detail] = (await Sessions(tx).insert(desk.tenant, made.id, "")).id
    found = {}
    for detail, session in bots.items():
        end = (await ask(actor, session))[-1]
        async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
            traces, message = Traces(tx, desk.tenant), MessageId(UUID(end["message_id"]))
            if detail == "off":
                with pytest.raises(NotFound, match="No trace"):
                    await traces.of_message(session, message)
            else:
                found[detail] = await traces.of_message(session, message)
    full, timings = found["full"], found["timings"]
    assert [role for role, _ in full.found["texts"]["messages"]] == ["system", "user"]
    assert ASKED in full.found["texts"]["messages"][-1][1]
    assert "texts" not in timings.found
    for trace in (full, timings):
        assert {"guard", "retrieve", "prompt", "plan"} <= {name for name, _, _ in trace.found["stages"]}
        assert [call["kind"] for call in trace.found["calls"]] == ["answer"]
        assert trace.cost_micro == trace.found["calls"][0]["cost"] > 0
        assert trace.found["notes"]["plan"]["reason"] == "preferred"
    rows = await desk.rows("turn_traces")
    assert all(ASKED.encode() not in bytes(row["sealed"]) for row in rows)


async def test_traces_expire(desk: Desk) -> None:
    end = (await ask(await desk.activate(), desk.session))[-1]
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        await tx.execute("update turn_traces set expires_at = now()")
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        with pytest.raises(NotFound):
            await Traces(tx, desk.tenant).of_message(desk.session, MessageId(UUID(end["message_id"])))
    await expire(desk.knowledge.db)
    assert await desk.rows("turn_traces") == []


async def test_owners_get_one_mail_for_each_threshold(desk: Desk) -> None:
    notice = BudgetNotice(None, BudgetKind.TOKENS, BudgetLevel.SOFT, date(2026, 11, 1), 100, 80)
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        for _ in range(2):
            await BudgetNotices(tx).add(desk.tenant, notice)
    owner = new_uuid()
    values = {"tenant": desk.tenant, "owner": owner, "address": f"{owner}@example.com"}
    async with system_tx(desk.knowledge.db) as tx:
        await execute(tx, "insert into users (id, email, password_hash) values (%(owner)s, %(address)s, 'x')", **values)
        member = "insert into memberships (tenant_id, user_id, role) values (%(tenant)s, %(owner)s, 'owner')"
        await execute(tx, member, **values)
        events = await fetch_all(
            tx, "select * from outbox where tenant_id = %(tenant)s and kind = 'budget.reached'", **values
        )
        [event] = [
            OutboxEvent(
                row["id"], desk.tenant, EventKind(row["kind"]), row["aggregate"], row["payload"], row["created_at"]
            )
            for row in events
        ]
        for _ in range(2):
            await BudgetNotices(tx).mail_owners("budgets", event)
        [mail] = await fetch_all(tx, "select * from mail_queue where recipient = %(address)s", **values)
        told = await BudgetNotices(tx).get(mail["about"])
    assert mail["kind"] == "budget_reached"
    assert told is not None
    assert told[0] == notice
    subject, body = budget_text(told[1], told[0], told[2])
    assert "nearly used up" in subject
    assert "80 of 100 tokens" in body
    assert "1 December" in body
