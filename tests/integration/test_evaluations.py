"""Evaluations over HTTP and the evaluator: scored, metered, resumed, cancelled, fair, and compared."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import EngineFailed
from pipelines import evaluate as evaluating
from pipelines.evaluate import EvaluationPorts
from storage.postgres.database import fetch_all, system_tx
from tests.fixtures.evaluation import Runner, ScriptedRetriever, evaluation_ports, started
from tests.fixtures.gateway import Chat, GatewayRig, Tenant
from tests.fixtures.purse import TwinPurse
from tests.fixtures.sealed import places_with
from tests.fixtures.stored_turns import tenant_id_of
from tests.fixtures.twins import TwinGenerator, passage
from tests.integration.test_question_sets import new_set

LAMP = passage("The lamp costs 40 euros.", start=100)
CHAIR = passage("The chair is green.", start=0, ordinal=1)
PRICE = {
    "question": "What does the lamp cost?",
    "answers": ["40 euros"],
    "passages": [{"document": "manual.pdf", "start": 100, "end": 124}],
}
KING = {"question": "Who is king?", "answerable": False}
SCRIPT = {"What does the lamp cost?": (CHAIR, LAMP)}


@pytest.fixture(scope="module")
def postgres_url(make_database: Callable[[], str]) -> str:
    """A database of this file's own: an evaluator looks for work of all tenants."""
    return make_database()


def runner(rig: GatewayRig, ports: EvaluationPorts) -> Runner:
    return Runner(rig.services.db, ports)


async def ledger(rig: GatewayRig, chat: Chat) -> list[dict[str, Any]]:
    async with system_tx(rig.services.db) as tx:
        query = "select * from usage_ledger where tenant_id = %(tenant)s order by created_at"
        return [dict(row) for row in await fetch_all(tx, query, tenant=tenant_id_of(chat))]


async def test_retrieval_is_scored_without_a_model(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE, KING)
    retriever = ScriptedRetriever(SCRIPT)
    address = await started(chat.tenant, chat.bot, questions)
    found = await runner(rig, evaluation_ports(retriever, TwinGenerator({}))).until_ended(chat.tenant, address)
    assert (found["state"], found["done"], found["version"], found["reason"]) == ("completed", 2, 1, None)
    means = {name: (mean["value"], mean["questions"]) for name, mean in found["summary"]["metrics"].items()}
    assert means == {
        "recall@1": (0, 1),
        "recall@3": (1, 1),
        "recall@5": (1, 1),
        "recall@10": (1, 1),
        "mrr": (0.5, 1),
        "answered": (1, 1),
        "no_answer": (1, 1),
    }
    assert await ledger(rig, chat) == []
    [price, king] = (await chat.tenant.get(f"{address}/results")).json()["items"]
    assert [(one["start"], one["right"]) for one in price["passages"]] == [(0, False), (100, True)]
    assert (price["question"], price["answer"], king["passages"]) == (PRICE["question"], None, [])


async def test_the_conversation_before_a_question_is_asked_along(rig: GatewayRig, chat: Chat) -> None:
    said = [{"role": "user", "content": "What does the lamp cost?"}, {"role": "assistant", "content": "40 euros."}]
    questions = await new_set(chat.tenant, chat.bot, {"question": "And in blue?", "history": said})
    retriever, generator = ScriptedRetriever(default=(LAMP,)), TwinGenerator({"first": ["The same."]})
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    await runner(rig, evaluation_ports(retriever, generator)).until_ended(chat.tenant, address)
    assert [message.content for message in retriever.asked[0].history] == [one["content"] for one in said]
    sent = [message.content for message in generator.requests[0].messages]
    assert sent[-3:-1] == [one["content"] for one in said]


async def test_answers_are_scored_metered_and_sealed(rig: GatewayRig, chat: Chat, postgres_url: str) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE, KING)
    purse = TwinPurse()
    generator = TwinGenerator({"first": ["It costs ", "40 euros, quokka."]})
    ports = evaluation_ports(ScriptedRetriever(SCRIPT), generator, purse)
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    found = await runner(rig, ports).until_ended(chat.tenant, address)
    metrics = found["summary"]["metrics"]
    assert metrics["answer_containment"] == {"value": 1, "questions": 1}
    assert metrics["citation_precision"] == {"value": 1, "questions": 1}
    assert metrics["no_answer"] == {"value": 1, "questions": 1}
    [price, king] = (await chat.tenant.get(f"{address}/results")).json()["items"]
    assert price["answer"] == "It costs 40 euros, quokka."
    assert king["answer"] == "I could not find an answer to that in the documents."
    # One generation, as the engine counted it; the question without passages asked no model.
    [row] = await ledger(rig, chat)
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_micro"]) == (100, 2, 104)
    assert str(row["session_id"]) == address.rpartition("/")[2]
    assert (price["cost_micro"], found["summary"]["cost_micro"]) == (104, 104)
    assert purse.spent == [(tenant_id_of(chat), 102)]
    async with system_tx(rig.services.db) as tx:
        query = "select * from usage_daily where tenant_id = %(tenant)s"
        [daily] = await fetch_all(tx, query, tenant=tenant_id_of(chat))
    assert (daily["turns"], daily["prompt_tokens"], daily["completion_tokens"]) == (0, 100, 2)
    assert places_with(postgres_url, ["quokka"]) == []


async def test_a_budget_that_is_spent_ends_the_evaluation_with_a_reason(rig: GatewayRig, chat: Chat) -> None:
    other = {**PRICE, "question": "And the price of it?"}
    questions = await new_set(chat.tenant, chat.bot, PRICE, other)
    ports = evaluation_ports(ScriptedRetriever(default=(LAMP,)), purse=TwinPurse(207))
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    found = await runner(rig, ports).until_ended(chat.tenant, address)
    assert (found["state"], found["done"]) == ("failed", 1)
    assert "The budget of the month leaves too little" in found["reason"]
    assert len(await ledger(rig, chat)) == 1


async def test_one_question_that_cannot_be_answered_does_not_end_the_others(rig: GatewayRig, chat: Chat) -> None:
    endless = {"question": "word " * 500}
    questions = await new_set(chat.tenant, chat.bot, endless, PRICE)
    ports = evaluation_ports(ScriptedRetriever(default=(LAMP,)))
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    found = await runner(rig, ports).until_ended(chat.tenant, address)
    assert (found["state"], found["summary"]["errors"]) == ("completed", 1)
    [long, price] = (await chat.tenant.get(f"{address}/results")).json()["items"]
    assert "long" in long["error"]
    assert (long["answer"], price["error"]) == (None, None)


async def test_an_answer_that_takes_too_long_is_metered(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    generator = TwinGenerator({"first": ["It ", "costs"]}, hang_after=1)
    ports = evaluation_ports(ScriptedRetriever(SCRIPT), generator, turn_seconds=0.2)
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    found = await runner(rig, ports).until_ended(chat.tenant, address)
    assert (found["state"], found["summary"]["errors"]) == ("completed", 1)
    [row] = await ledger(rig, chat)
    assert row["completion_tokens"] == 1


async def test_without_an_engine_it_fails_after_some_tries(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "TRY_AGAIN_SECONDS", (0.0, 0.0))
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    generator = TwinGenerator({"first": [EngineFailed("No engine.")], "second": [EngineFailed("No engine.")]})
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    found = await runner(rig, evaluation_ports(ScriptedRetriever(SCRIPT), generator)).until_ended(chat.tenant, address)
    assert (found["state"], found["reason"], found["done"]) == ("failed", "No engine.", 0)
    assert len(generator.requests) == 6


async def test_the_queue_of_a_tenant_is_bounded_and_empty_sets_are_refused(rig: GatewayRig, chat: Chat) -> None:
    empty = await new_set(chat.tenant, chat.bot)
    body = {"question_set_id": empty.rpartition("/")[2]}
    assert (await chat.tenant.post(f"/chatbots/{chat.bot}/evaluations", json=body)).status_code == 422
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    addresses = [await started(chat.tenant, chat.bot, questions) for _ in range(10)]
    body = {"question_set_id": questions.rpartition("/")[2]}
    assert (await chat.tenant.post(f"/chatbots/{chat.bot}/evaluations", json=body)).status_code == 429
    for address in addresses:
        assert (await chat.tenant.call("DELETE", address)).status_code == 204
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/evaluations")).json()["items"] == []
    for more in ({"version": 7}, {"draft": True}):
        answer = await chat.tenant.post(f"/chatbots/{chat.bot}/evaluations", json={**body, **more})
        assert answer.status_code == 404
    both = {**body, "version": 1, "draft": True}
    assert (await chat.tenant.post(f"/chatbots/{chat.bot}/evaluations", json=both)).status_code == 422


async def test_two_evaluations_are_compared(rig: GatewayRig, chat: Chat) -> None:
    tenant = chat.tenant
    questions = await new_set(tenant, chat.bot, PRICE, KING)
    run = runner(rig, evaluation_ports(ScriptedRetriever(SCRIPT)))
    first = await started(tenant, chat.bot, questions)
    await run.until_ended(tenant, first)
    await tenant.call("PUT", f"/chatbots/{chat.bot}/config", json={"retrieval": {"top_k": 1}})
    await tenant.post(f"{questions}/questions", json={"questions": [{"question": "New?"}]})
    second = await started(tenant, chat.bot, questions)
    address = f"/chatbots/{chat.bot}/evaluations/compare"
    ids = {"a": first.rpartition("/")[2], "b": second.rpartition("/")[2]}
    assert (await tenant.get(address, params=ids)).status_code == 409
    await run.until_ended(tenant, second)
    found = (await tenant.get(address, params=ids)).json()
    assert (found["a"]["version"], found["b"]["version"]) == (1, 2)
    assert found["metrics"]["mrr"] == {"a": 0.5, "b": 0, "change": -0.5, "questions": 1}
    assert (found["common"], found["only_a"], found["only_b"]) == (2, 0, 1)
    assert (found["better"], found["worse"], found["mixed"]) == (0, 1, 0)
    [changed] = found["changed"]
    assert (changed["question"], changed["change"]) == (PRICE["question"], "worse")
    assert changed["scores"]["recall@3"] == [1, 0]
    older = (await tenant.get(f"/chatbots/{chat.bot}/evaluations")).json()["items"]
    assert [one["version"] for one in older] == [2, 1]


async def test_nobody_else_sees_or_stops_an_evaluation(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    address = await started(chat.tenant, chat.bot, questions)
    stranger: Tenant = await rig.register()
    other = await chat.tenant.new_bot()
    for who, place in ((stranger, address), (chat.tenant, address.replace(chat.bot, other))):
        for method, tail in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
            assert (await who.call(method, place + tail)).status_code == 404, (method, tail)
    assert (await chat.tenant.call("DELETE", address)).status_code == 204
