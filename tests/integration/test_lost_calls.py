"""Calls beside turns are billed once, whatever becomes of the process that made them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest

from actors.tenant_actor import TenantActor
from domain.chatbot import ChatbotConfig
from domain.conversation import Question
from domain.errors import StaleEpoch
from domain.generation import Delta, EngineTarget, GenerationRequest, Usage
from domain.ids import ChatbotId, TurnId, new_uuid
from domain.metering import CallKind, ModelCall, UseKind
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import execute, system_tx, tenant_tx
from storage.postgres.open_calls import LOST_SECONDS, OpenCalls
from storage.postgres.open_turns import open_turns
from storage.postgres.sessions import Sessions
from tests.fixtures.conditions import eventually
from tests.fixtures.desk import Desk, collect
from tests.fixtures.twins import TwinGenerator

CONTEXT = {"strategy": "summary", "recent": 1, "summarize_after_tokens": 100, "summary_tokens": 40}
MOST = ModelCall(CallKind.SUMMARY, "", "model-a", Usage(70, 30), 130)


class SlowSummaries(TwinGenerator):
    """Answers, and never ends a summary."""

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        self.hang_after = 1 if request.id.startswith("summary-") else None
        async for delta in super().generate(target, request):
            yield delta


async def summarizing(desk: Desk) -> TenantActor:
    """An actor that is at work on a summary."""
    config = ChatbotConfig.model_validate({"max_tokens": 40, "context": CONTEXT})
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        made = await Chatbots(tx).insert(desk.tenant, "Sums up", config)
        desk.session = (await Sessions(tx).insert(desk.tenant, made.id, "")).id
    desk.generator = SlowSummaries({"first": ["It costs ", "forty ", "euros."]})
    actor = await desk.activate()
    for number in range(2):
        asked = Question(str(uuid4()), f"What does lamp {number} cost? " + "please " * 100)
        await collect(actor.submit(desk.session, asked))

    async def begun() -> bool:
        return len(await desk.rows("open_calls")) == 1

    await eventually(begun)
    return actor


async def summaries(desk: Desk) -> list[dict[str, Any]]:
    return [row for row in await desk.rows("usage_ledger") if row["kind"] == "summary"]


async def test_a_summary_that_is_lost_with_its_process_is_billed_by_the_next(desk: Desk) -> None:
    lost = await summarizing(desk)
    [call], [request] = (
        await desk.rows("open_calls"),
        [one for one in desk.generator.requests if one.id.startswith("summary-")],
    )
    assert call["completion_tokens"] == request.max_tokens == 40
    assert await summaries(desk) == []
    fresh = await desk.activate()
    assert await desk.rows("open_calls") == []
    [entry] = await summaries(desk)
    assert entry["turn_id"] == call["id"]
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (call["prompt_tokens"], 40)
    assert entry["cost_micro"] == call["cost_micro"] > 0
    ledger = sum(row["prompt_tokens"] + row["completion_tokens"] for row in await desk.rows("usage_ledger"))
    assert fresh.allowance.budget.total.tokens == ledger
    # The first one was not dead after all: it finds that its call is billed.
    await lost._parts.summarizer.close()
    assert len(await summaries(desk)) == 1
    assert lost.allowance.budget.total.held_tokens == 0


async def test_a_summary_that_is_cut_off_is_billed_with_what_it_used(desk: Desk) -> None:
    actor = await summarizing(desk)
    await actor._parts.summarizer.close()
    [entry] = await summaries(desk)
    assert (entry["calls"][0]["kind"], entry["completion_tokens"]) == ("summary", 1)
    assert await desk.rows("open_calls") == []
    ledger = sum(row["prompt_tokens"] + row["completion_tokens"] for row in await desk.rows("usage_ledger"))
    assert actor.allowance.budget.total.tokens == ledger
    assert (await desk.activate()).allowance.budget.total.tokens == ledger


async def test_a_call_that_nobody_ended_is_found_and_billed_once(desk: Desk) -> None:
    actor = await desk.activate()
    bot, young, old = ChatbotId((await desk.rows("sessions"))[0]["chatbot_id"]), TurnId(new_uuid()), TurnId(new_uuid())
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        await OpenCalls(tx, desk.tenant).open(young, bot, UseKind.SUMMARY, MOST, actor.epoch)
        with pytest.raises(StaleEpoch):
            await OpenCalls(tx, desk.tenant).open(TurnId(new_uuid()), bot, UseKind.SUMMARY, MOST, actor.epoch - 1)
    async with system_tx(desk.knowledge.db) as tx:
        assert not any(one.lost_calls for one in await open_turns(tx) if one.tenant_id == desk.tenant)
        copy = (
            "insert into open_calls (tenant_id, id, chatbot_id, kind, model, epoch, prompt_tokens, completion_tokens,"
            " cost_micro, at) select tenant_id, %(old)s, chatbot_id, kind, model, epoch, prompt_tokens,"
            " completion_tokens, cost_micro, now() - make_interval(secs => %(seconds)s) from open_calls"
            " where id = %(young)s"
        )
        await execute(tx, copy, old=old, young=young, seconds=LOST_SECONDS + 1)
    async with system_tx(desk.knowledge.db) as tx:
        [found] = [one for one in await open_turns(tx) if one.tenant_id == desk.tenant]
    assert found.lost_calls
    assert not found.are_run(actor.runs)
    await asyncio.gather(*(actor.recover() for _ in range(3)))
    assert [row["id"] for row in await desk.rows("open_calls")] == [young]
    assert [(row["turn_id"], row["cost_micro"]) for row in await summaries(desk)] == [(old, 130)]
    assert actor.allowance.budget.total.tokens == 100
    [daily] = await desk.rows("usage_daily")
    assert (daily["prompt_tokens"], daily["cost_micro"]) == (70, 130)
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        assert not await OpenCalls(tx, desk.tenant).close(old)
