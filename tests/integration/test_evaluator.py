"""The evaluator: what is cut off goes on, what is cancelled ends, and tenants take turns."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.evaluator import Evaluator
from domain.retrieval.result import RetrievalRequest
from pipelines import evaluate as evaluating
from pipelines.evaluate import evaluate
from storage.postgres.database import fetch_all, system_tx
from storage.postgres.evaluations import GAVE_UP, MOST_ATTEMPTS, Claim
from tests.fixtures.conditions import eventually
from tests.fixtures.evaluation import ScriptedRetriever, claim_of, evaluation_ports, started
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import tenant_id_of
from tests.fixtures.twins import TwinGenerator
from tests.integration.test_evaluations import LAMP, PRICE, SCRIPT, ledger, runner
from tests.integration.test_question_sets import new_set


@pytest.fixture(scope="module")
def postgres_url(make_database: Callable[[], str]) -> str:
    """A database of this file's own: an evaluator looks for work of all tenants."""
    return make_database()


async def test_what_was_cut_off_goes_on_where_it_was(rig: GatewayRig, chat: Chat) -> None:
    specs = [{"question": f"Question {number}?"} for number in range(5)]
    questions = await new_set(chat.tenant, chat.bot, *specs)
    retriever = ScriptedRetriever(default=(LAMP,))
    address = await started(chat.tenant, chat.bot, questions)

    async def die(request: RetrievalRequest) -> None:
        if len(retriever.asked) == 3:
            raise RuntimeError("the process is gone")

    retriever.before = die
    found = await runner(rig, evaluation_ports(retriever)).until_ended(chat.tenant, address, hurry=True)
    assert (found["state"], found["done"], found["summary"]["questions"]) == ("completed", 5, 5)
    asked = [request.question for request in retriever.asked]
    assert asked == [*(f"Question {n}?" for n in range(3)), *(f"Question {n}?" for n in range(2, 5))]


async def test_a_process_that_died_leaves_a_row_that_is_taken_up(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    address = await started(chat.tenant, chat.bot, questions)
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "update evaluations set state = 'running', attempts = 1 where tenant_id = %s", [tenant_id_of(chat)]
        )
    stale = claim_of(chat.tenant, address)
    found = await runner(rig, evaluation_ports(ScriptedRetriever(SCRIPT))).until_ended(chat.tenant, address)
    assert (found["state"], found["done"]) == ("completed", 1)
    # The old attempt would write nothing any more, were it still alive.
    await evaluate(rig.services.db, stale, evaluation_ports(ScriptedRetriever()))
    assert (await chat.tenant.get(address)).json() == found


async def test_what_is_cut_off_again_and_again_is_given_up(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    address = await started(chat.tenant, chat.bot, questions)

    async def die(request: RetrievalRequest) -> None:
        raise RuntimeError("the process is gone")

    retriever = ScriptedRetriever(before=die)
    found = await runner(rig, evaluation_ports(retriever)).until_ended(chat.tenant, address, hurry=True)
    assert (found["state"], found["reason"]) == ("failed", GAVE_UP)
    assert len(retriever.asked) == MOST_ATTEMPTS


async def test_a_cancelled_evaluation_ends_and_its_answer_is_metered(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "WATCH_SECONDS", 0.05)
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    generator = TwinGenerator({"first": ["It ", "costs"]}, hang_after=1)
    ports = evaluation_ports(ScriptedRetriever(SCRIPT), generator)
    address = await started(chat.tenant, chat.bot, questions, mode="answers")
    evaluator = Evaluator(rig.services.db, lambda claim: evaluate(rig.services.db, claim, ports), most=1)
    await evaluator.work()
    await eventually(lambda: generator.requests)
    cancelled = await chat.tenant.post(f"{address}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    await eventually(lambda: not evaluator._running)
    assert generator.cancelled
    assert (await chat.tenant.get(address)).json()["state"] == "cancelled"
    assert len(await ledger(rig, chat)) == 1
    assert (await chat.tenant.post(f"{address}/cancel")).status_code == 409
    await evaluator.close()


async def test_a_deleted_question_set_or_bot_ends_what_runs(rig: GatewayRig, chat: Chat) -> None:
    questions = await new_set(chat.tenant, chat.bot, PRICE)
    address = await started(chat.tenant, chat.bot, questions)
    await chat.tenant.call("DELETE", questions)
    ports = evaluation_ports(ScriptedRetriever(SCRIPT))
    found = await runner(rig, ports).until_ended(chat.tenant, address)
    assert (found["state"], found["reason"]) == ("failed", "The question set was deleted.")
    again = await new_set(chat.tenant, chat.bot, PRICE)
    address = await started(chat.tenant, chat.bot, again)
    claim = claim_of(chat.tenant, address)

    async def delete(request: RetrievalRequest) -> None:
        assert (await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")).status_code == 204

    async with system_tx(rig.services.db) as tx:
        await tx.execute("update evaluations set state = 'running', attempts = 1 where id = %s", [claim.id])
    await evaluate(rig.services.db, claim, evaluation_ports(ScriptedRetriever(SCRIPT, before=delete)))
    async with system_tx(rig.services.db) as tx:
        assert await fetch_all(tx, "select 1 from evaluation_results where evaluation_id = %(id)s", id=claim.id) == []


async def test_tenants_take_turns_one_evaluation_each(rig: GatewayRig) -> None:
    first, second = await rig.register(), await rig.register()
    order: list[str] = []
    release = asyncio.Event()
    names: dict[Any, str] = {}

    async def run(claim: Claim) -> None:
        order.append(names[claim.tenant_id])
        await release.wait()

    for tenant, name, count in ((first, "first", 3), (second, "second", 1)):
        bot = await tenant.new_bot()
        questions = await new_set(tenant, bot, PRICE)
        for _ in range(count):
            names[claim_of(tenant, await started(tenant, bot, questions)).tenant_id] = name
    evaluator = Evaluator(rig.services.db, run, most=3)
    await evaluator.work()
    await eventually(lambda: len(order) == 2)
    assert sorted(order) == ["first", "second"]
    await evaluator.work()
    assert len(order) == 2
    release.set()
    await eventually(lambda: not evaluator._running)
    await evaluator.close()
    async with system_tx(rig.services.db) as tx:
        await tx.execute("update evaluations set state = 'cancelled' where state in ('requested', 'running')")
