"""Chatbots over HTTP: versions, validation, the plan's limit, and that tenants do not see each other's."""

import asyncio
from typing import Any

import pytest

from configs.tables import load_plans
from domain.retrieval.configuration import RetrievalConfig
from storage.postgres.database import tenant_tx
from tests.fixtures.gateway import GatewayRig


async def test_a_bot_begins_with_the_given_fields_and_defaults_for_the_rest(rig: GatewayRig) -> None:
    tenant = await rig.register()
    made = await tenant.post("/chatbots", json={"name": "Helper", "config": {"tone": "dry", "retrieval": {"top_k": 3}}})
    assert made.status_code == 201
    bot = made.json()
    assert (bot["name"], bot["version"], bot["config"]["tone"]) == ("Helper", 1, "dry")
    assert RetrievalConfig.model_validate(bot["config"]["retrieval"]) == RetrievalConfig(top_k=3)
    assert (await tenant.get(f"/chatbots/{bot['id']}")).json() == bot
    assert (await tenant.get("/chatbots")).json() == {"items": [bot]}


async def test_every_change_is_a_version_and_keeps_the_other_fields(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    await tenant.call("PUT", f"/chatbots/{bot}/config", json={"persona": "A librarian"})
    changed = (await tenant.call("PUT", f"/chatbots/{bot}/config", json={"retrieval": {"min_score": 0.5}})).json()
    assert changed["version"] == 3
    assert changed["config"]["persona"] == "A librarian"
    assert changed["config"]["retrieval"]["top_k"] == 5
    versions = (await tenant.get(f"/chatbots/{bot}/config/versions")).json()["items"]
    assert [item["version"] for item in versions] == [3, 2, 1]
    assert versions[2]["config"]["persona"] == ""


async def test_changes_at_once_lose_nothing(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    changes: list[dict[str, Any]] = [{"tone": "dry"}, {"persona": "A librarian"}, {"greeting": "Hi"}, {"top": 1}]
    answers = await asyncio.gather(*(tenant.call("PUT", f"/chatbots/{bot}/config", json=change) for change in changes))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 422]
    config = (await tenant.get(f"/chatbots/{bot}")).json()["config"]
    assert (config["tone"], config["persona"], config["greeting"]) == ("dry", "A librarian", "Hi")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"retrieval": {"top_k": 99}}, "retrieval.top_k"),
        ({"retrieval": 7}, "retrieval"),
        ({"system_prompt": "nul \x00"}, "system_prompt"),
        ({"surprise": 1}, "surprise"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
async def test_bad_configuration_says_which_field(rig: GatewayRig, config: dict[str, Any], field: str) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    answer = await tenant.call("PUT", f"/chatbots/{bot}/config", json=config)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_input"
    assert field in error["message"]
    assert (await tenant.get(f"/chatbots/{bot}")).json()["version"] == 1


async def test_the_plan_limits_bots_also_when_they_are_made_at_once(rig: GatewayRig) -> None:
    tenant = await rig.register()
    limit = load_plans()["free"].limits.max_chatbots
    answers = await asyncio.gather(*(tenant.post("/chatbots", json={"name": "x"}) for _ in range(limit + 3)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * limit + [402] * 3
    refused = next(answer for answer in answers if answer.status_code == 402)
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert len((await tenant.get("/chatbots")).json()["items"]) == limit


async def test_deleting_a_bot_tells_of_it_in_the_same_transaction(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    uploaded = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": ("a.txt", b"Some text.")})
    document = uploaded.json()["documents"][0]["id"]
    assert (await tenant.call("DELETE", f"/chatbots/{bot}")).status_code == 204
    assert (await tenant.get(f"/chatbots/{bot}")).status_code == 404
    assert (await tenant.call("DELETE", f"/chatbots/{bot}")).status_code == 404
    async with tenant_tx(rig.services.db, tenant.grant["tenant"]["id"]) as tx:
        rows = await (await tx.execute("select kind, payload from outbox order by id")).fetchall()
    assert rows[-1] == {"kind": "chatbot.deleted", "payload": {"chatbot_id": bot, "document_ids": [document]}}


async def test_another_tenants_bot_is_not_there(rig: GatewayRig) -> None:
    owner, stranger = await rig.register(), await rig.register()
    bot = await owner.new_bot()
    session = await owner.new_session(bot)
    calls = [
        ("GET", f"/chatbots/{bot}", None),
        ("DELETE", f"/chatbots/{bot}", None),
        ("PUT", f"/chatbots/{bot}/config", {"tone": "x"}),
        ("GET", f"/chatbots/{bot}/config/versions", None),
        ("POST", f"/chatbots/{bot}/sessions", {}),
        ("GET", f"/chatbots/{bot}/sessions", None),
        ("GET", f"/chatbots/{bot}/sessions/{session}/messages", None),
        ("POST", f"/chatbots/{bot}/sessions/{session}/messages", {"text": "Hi"}),
        ("GET", f"/knowledgebase/{bot}/documents", None),
    ]
    for method, path, body in calls:
        answer = await stranger.call(method, path, json=body)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "not_found"
    assert rig.conversations.asked == 0
    assert (await stranger.get("/chatbots")).json() == {"items": []}
    assert (await owner.get(f"/chatbots/{bot}")).status_code == 200
