"""Drafts, the publish gate and going back, over HTTP with real evaluations of a scripted retriever."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.tenancy import Role
from storage.postgres.database import system_tx
from tests.fixtures.evaluation import Runner, ScriptedRetriever, evaluation_ports
from tests.fixtures.gateway import Chat, GatewayRig, Tenant
from tests.fixtures.stored_turns import tenant_id_of
from tests.integration.test_evaluations import KING, PRICE, SCRIPT
from tests.integration.test_permission_matrix import person
from tests.integration.test_question_sets import new_set
from tests.integration.test_reembedding_api import built

BAD = {"retrieval": {"top_k": 1}}
"""With it the scripted retriever does not offer the right passage any more."""


@pytest.fixture(scope="module")
def postgres_url(make_database: Callable[[], str]) -> str:
    """A database of this file's own: an evaluator looks for work of all tenants."""
    return make_database()


async def gated(chat: Chat, *rules: dict[str, Any]) -> str:
    """A gate over two questions; the address of its set."""
    questions = await new_set(chat.tenant, chat.bot, PRICE, KING)
    body = {"question_set_id": questions.rpartition("/")[2], "rules": rules or ({"metric": "mrr", "max_drop": 0.1},)}
    answer = await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/publish-gate", json=body)
    assert answer.status_code == 200, answer.text
    return questions


async def draft(chat: Chat, **fields: Any) -> dict[str, Any]:
    answer = await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/draft", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def publish(chat: Chat, who: Tenant | None = None, **body: Any) -> httpx.Response:
    return await (who or chat.tenant).post(f"/chatbots/{chat.bot}/publish", json=body)


async def live(chat: Chat) -> dict[str, Any]:
    return dict((await chat.tenant.get(f"/chatbots/{chat.bot}")).json())


async def work_off(rig: GatewayRig, chat: Chat) -> None:
    """Until no evaluation of the bot is open."""
    runner = Runner(rig.services.db, evaluation_ports(ScriptedRetriever(SCRIPT)))
    for one in (await chat.tenant.get(f"/chatbots/{chat.bot}/evaluations")).json()["items"]:
        await runner.until_ended(chat.tenant, f"/chatbots/{chat.bot}/evaluations/{one['id']}")


async def audited(chat: Chat, action: str) -> list[dict[str, Any]]:
    items = (await chat.tenant.get("/audit", params={"action": action})).json()["items"]
    return [item["details"] for item in items]


async def test_a_draft_is_live_for_nobody_until_it_is_published(rig: GatewayRig, chat: Chat) -> None:
    assert (await publish(chat)).status_code == 404
    await draft(chat, tone="dry", retrieval={"top_k": 3})
    saved = await draft(chat, persona="A librarian")
    assert saved["fields"] == ["persona", "retrieval", "tone"]
    assert (saved["base_version"], saved["config"]["retrieval"]["top_k"]) == (1, 3)
    assert (await live(chat))["config"]["tone"] == "friendly"
    published = await publish(chat)
    assert (published.status_code, published.json()["state"]) == (200, "published")
    now = await live(chat)
    assert (now["version"], now["config"]) == (2, saved["config"])
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/draft")).status_code == 404
    assert await audited(chat, "chatbot.publish") == [
        {"version": 2, "fields": ["persona", "retrieval", "tone"], "forced": False, "evaluation_id": None}
    ]


async def test_a_draft_is_dropped_and_wrong_ones_are_refused(rig: GatewayRig, chat: Chat) -> None:
    address = f"/chatbots/{chat.bot}/draft"
    for body in ({"top": 1}, {"temperature": 9}, {"model": "nobody"}):
        assert (await chat.tenant.call("PUT", address, json=body)).status_code == 422
    await draft(chat, tone="dry")
    assert (await chat.tenant.call("DELETE", address)).status_code == 204
    assert (await chat.tenant.call("DELETE", address)).status_code == 404


async def test_what_went_live_meanwhile_is_not_lost(rig: GatewayRig, chat: Chat) -> None:
    await draft(chat, tone="dry", retrieval={"top_k": 3})
    await chat.tenant.call(
        "PUT", f"/chatbots/{chat.bot}/config", json={"persona": "A judge", "retrieval": {"min_score": 0.7}}
    )
    refused = await publish(chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert (await draft(chat))["base_version"] == 2
    assert (await publish(chat)).status_code == 200
    config = (await live(chat))["config"]
    assert (config["tone"], config["persona"]) == ("dry", "A judge")
    assert (config["retrieval"]["top_k"], config["retrieval"]["min_score"]) == (3, 0.7)


async def test_an_older_version_comes_back_as_a_new_one(rig: GatewayRig, chat: Chat) -> None:
    config = f"/chatbots/{chat.bot}/config"
    await chat.tenant.call("PUT", config, json={"tone": "dry"})
    await gated(chat)
    restored = await chat.tenant.post(f"/chatbots/{chat.bot}/versions/1/restore")
    assert (restored.status_code, restored.json()["version"]) == (200, 3)
    assert restored.json()["config"]["tone"] == "friendly"
    assert await audited(chat, "chatbot.restore") == [{"version": 3, "restored": 1, "fields": ["tone"]}]
    for version in (0, 9, -1, 2**40):
        missing = await chat.tenant.post(f"/chatbots/{chat.bot}/versions/{version}/restore")
        assert missing.status_code == 404
    assert [item["version"] for item in (await chat.tenant.get(f"{config}/versions")).json()["items"]] == [3, 2, 1]


async def test_with_a_gate_answers_change_by_publishing_only(rig: GatewayRig, chat: Chat) -> None:
    await gated(chat)
    config = f"/chatbots/{chat.bot}/config"
    refused = await chat.tenant.call("PUT", config, json={"tone": "dry"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "gate_in_the_way")
    assert "/publish" in refused.json()["error"]["message"]
    harmless = {"greeting": "Hi", "retention_days": 30, "visitors": "off", "privacy": {"consent_required": True}}
    assert (await chat.tenant.call("PUT", config, json=harmless)).status_code == 200
    assert (await chat.tenant.call("PUT", config, json={"tone": "friendly"})).status_code == 200, "as it was"
    await draft(chat, greeting="Welcome")
    assert (await publish(chat)).json()["state"] == "published"
    assert (await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}/publish-gate")).status_code == 204
    assert (await chat.tenant.call("PUT", config, json={"tone": "dry"})).status_code == 200


async def test_a_draft_that_is_worse_is_refused_and_says_what_fell(rig: GatewayRig, chat: Chat) -> None:
    await gated(chat, {"metric": "mrr", "max_drop": 0.1}, {"metric": "no_answer", "least": 1})
    await draft(chat, **BAD)
    waiting = await publish(chat)
    assert (waiting.status_code, waiting.json()["state"]) == (202, "evaluating")
    assert waiting.json()["draft_evaluation"]["version"] is None
    assert waiting.json()["live_evaluation"]["version"] == 1
    again = await publish(chat)
    assert again.json() == waiting.json(), "they are asked once"
    await work_off(rig, chat)
    refused = await publish(chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "gate_refused")
    assert refused.json()["error"]["message"] == (
        "The draft does not pass the publish gate. mrr fell from 0.500 to 0.000, by more than 0.100."
    )
    assert (await live(chat))["version"] == 1
    await draft(chat, retrieval={"top_k": 4})
    assert (await publish(chat)).status_code == 202, "only the new draft is asked"
    assert len((await chat.tenant.get(f"/chatbots/{chat.bot}/evaluations")).json()["items"]) == 3
    await work_off(rig, chat)
    published = await publish(chat)
    assert (published.status_code, published.json()["chatbot"]["version"]) == (200, 2)
    [details] = await audited(chat, "chatbot.publish")
    assert details["evaluation_id"] == published.json()["draft_evaluation"]["id"]


async def test_other_questions_or_documents_make_an_evaluation_old(rig: GatewayRig, chat: Chat) -> None:
    questions = await gated(chat)
    await draft(chat, tone="dry")
    first = (await publish(chat)).json()
    await work_off(rig, chat)
    await chat.tenant.post(f"{questions}/questions", json={"questions": [{"question": "New?"}]})
    second = await publish(chat)
    assert second.status_code == 202
    assert second.json()["live_evaluation"]["id"] != first["live_evaluation"]["id"]
    await work_off(rig, chat)
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash, status, chunks)"
            " values (%s, gen_random_uuid(), %s, 'n', 'text/plain', 1, 'h', 'ready', 3)",
            [tenant_id_of(chat), UUID(chat.bot)],
        )
    third = await publish(chat)
    assert third.status_code == 202
    assert third.json()["draft_evaluation"]["id"] != second.json()["draft_evaluation"]["id"]
    await work_off(rig, chat)
    generations = f"/knowledgebase/{chat.bot}/reembed"
    assert (await chat.tenant.post(generations, json={})).status_code == 202
    await built(rig, chat.tenant, chat.bot)
    assert (await chat.tenant.post(f"{generations}/1/switch")).status_code == 200
    await draft(chat)
    fourth = await publish(chat)
    assert fourth.status_code == 202, "the same documents, embedded again"
    assert fourth.json()["live_evaluation"]["id"] != third.json()["live_evaluation"]["id"]


async def test_force_is_for_who_keeps_the_gate_and_is_recorded(rig: GatewayRig, chat: Chat) -> None:
    await gated(chat)
    await draft(chat, **BAD)
    token = await person(rig, tenant_id_of(chat), Role.EDITOR)
    editor = Tenant(rig.http, {**chat.tenant.grant, "access_token": token}, "")
    assert (await publish(chat, editor, force=True)).status_code == 403
    for method, body in (("PUT", {"question_set_id": str(UUID(int=1)), "rules": []}), ("DELETE", None)):
        assert (await editor.call(method, f"/chatbots/{chat.bot}/publish-gate", json=body)).status_code == 403
    assert (await publish(chat, editor)).status_code == 202
    assert (await publish(chat, force=True)).json()["state"] == "published"
    [details] = await audited(chat, "chatbot.publish")
    assert (details["forced"], details["version"]) == (True, 2)


async def test_a_gate_keeps_its_question_set(rig: GatewayRig, chat: Chat) -> None:
    questions = await gated(chat)
    assert (await chat.tenant.call("DELETE", questions)).status_code == 409
    other = await chat.tenant.new_bot()
    body = {"question_set_id": questions.rpartition("/")[2], "rules": [{"metric": "mrr", "least": 0.1}]}
    foreign = await chat.tenant.call("PUT", f"/chatbots/{other}/publish-gate", json=body)
    assert foreign.status_code == 404, "another bot's questions"
    gate = (await chat.tenant.get(f"/chatbots/{chat.bot}/publish-gate")).json()
    assert gate["rules"] == [{"metric": "mrr", "least": None, "max_drop": 0.1}]
    assert (await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")).status_code == 204
