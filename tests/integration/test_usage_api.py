"""What the company sees of its use: sums of the ledger, traces of turns, and refused embeddings."""

from typing import Any
from uuid import UUID

import pytest

from domain.generation import PromptMessage, Usage
from domain.ids import ChatbotId, TurnId, new_uuid
from domain.metering import CallKind, ModelCall, Tally, UseKind
from domain.retrieval.result import Retrieval
from domain.trace import TraceDetail, TurnTrace
from storage.postgres.database import fetch_all, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.traces import Traces
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.purse import TwinPurse
from tests.fixtures.stored_turns import path, store_turn, tenant_id_of

WORDS = "the system prompt of the company"


async def trace_of(rig: GatewayRig, chat: Chat, turn: str) -> None:
    trace = TurnTrace()
    trace.messages = [PromptMessage("system", WORDS)]
    trace.retrieval = Retrieval("how long is it")
    call = ModelCall(CallKind.ANSWER, "engine", "m", Usage(100, 3), 7)
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        record = trace.record(TraceDetail.FULL, [call])
        await Traces(tx, tenant_id_of(chat)).add(TurnId(UUID(turn)), record, 30)


async def test_the_ledger_is_summed_by_day_bot_use_and_call(rig: GatewayRig, chat: Chat) -> None:
    tenant_id, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    await store_turn(rig, chat, "How long?")
    tally = Tally()
    tally.add(ModelCall(CallKind.RETRY, "a", "large", Usage(10), 4))
    tally.add(ModelCall(CallKind.ANSWER, "b", "small", Usage(10, 5), 6))
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        await Ledger(tx).record_beside(tenant_id, bot, UseKind.EVALUATION, tally)
        await Ledger(tx).record_beside(tenant_id, ChatbotId(new_uuid()), UseKind.EVALUATION, tally)
        # A row from before calls were kept.
        await tx.execute("update usage_ledger set calls = null where kind = 'turn'")
    found = (await chat.tenant.get("/usage", params={"chatbot_id": chat.bot})).json()
    assert [(one["use"], one["kind"], one["model"], one["prompt_tokens"]) for one in found["items"]] == [
        ("evaluation", "answer", "small", 10),
        ("evaluation", "retry", "large", 10),
        ("turn", "answer", "m", 100),
    ]
    assert (found["tokens"], found["cost_micro"]) == (10 + 15 + 103, 10)
    assert (await chat.tenant.get("/usage")).json()["tokens"] == found["tokens"] + 25
    assert (await chat.tenant.get("/usage", params={"since": "2026-02-01", "until": "2026-01-01"})).status_code == 400
    stranger = await rig.register()
    assert (await stranger.get("/usage", params={"chatbot_id": chat.bot})).json()["items"] == []


async def test_a_trace_is_read_by_either_message_and_of_its_own_conversation(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    await trace_of(rig, chat, stored.turn)
    other = await chat.tenant.new_session(chat.bot)
    for message in (stored.question, stored.answer):
        found = (await chat.tenant.get(path(chat, f"/messages/{message}/trace"))).json()
        assert found["messages"] == [{"role": "system", "content": WORDS}]
        assert (found["query"], found["turn_id"]) == ("how long is it", stored.turn)
        assert [(call["kind"], call["prompt_tokens"], call["cost_micro"]) for call in found["calls"]] == [
            ("answer", 100, 7)
        ]
        wrong = await chat.tenant.get(f"/chatbots/{chat.bot}/sessions/{other}/messages/{message}/trace")
        assert wrong.status_code == 404
    stranger = await rig.register()
    assert (await stranger.get(path(chat, f"/messages/{stored.answer}/trace"))).status_code == 404


async def test_a_withheld_message_keeps_its_words_out_of_the_trace(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    await trace_of(rig, chat, stored.turn)
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        await tx.execute("update messages set withheld_at = now() where role = 'assistant'")
    found = (await chat.tenant.get(path(chat, f"/messages/{stored.question}/trace"))).json()
    assert (found["messages"], found["query"]) == (None, None)
    assert found["calls"]


async def test_a_trace_goes_with_its_conversation(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    await trace_of(rig, chat, stored.turn)
    gone = await chat.tenant.call("DELETE", path(chat))
    assert gone.status_code in (202, 204)
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        assert await fetch_all(tx, "select 1 from turn_traces") == []


async def ledger(rig: GatewayRig, chat: Chat) -> list[Any]:
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        return await fetch_all(tx, "select kind, embedded_tokens, cost_micro, calls from usage_ledger")


async def test_embeddings_are_in_the_ledger_and_within_the_budget(rig: GatewayRig, chat: Chat) -> None:
    purse = rig.services.purse
    assert isinstance(purse, TwinPurse)
    body = {"model": chat.bot, "input": ["one", "two words"]}
    answered = (await chat.tenant.post("/v1/embeddings", json=body)).json()
    [row] = await ledger(rig, chat)
    assert (row["kind"], row["embedded_tokens"]) == ("embedding", answered["usage"]["total_tokens"])
    assert purse.spent == [(tenant_id_of(chat), row["embedded_tokens"])]
    assert purse.held == 0
    purse.most = row["embedded_tokens"] + 2
    refused = await chat.tenant.post("/v1/embeddings", json=body)
    assert refused.status_code == 402
    assert len(await ledger(rig, chat)) == 1


@pytest.mark.parametrize("wrong", [{"monthly_tokens": 0}, {"soft_percent": 0}, {"monthly_cost_micro": -5}, {"x": 1}])
async def test_absurd_budgets_are_refused(chat: Chat, wrong: dict[str, Any]) -> None:
    answer = await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json={"budget": wrong})
    assert answer.status_code == 422
