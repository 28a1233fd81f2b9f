"""The audit log over HTTP: what is recorded of whom and from where, and who may read it."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from domain.ids import TenantId, UserId, new_uuid
from domain.tenancy import Principal, Role
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx, tenant_tx
from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant, signed_token


async def log_of(tenant: Tenant, **params: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    answer = await tenant.get("/audit", params={"limit": 100, **params})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items[::-1]


async def test_what_people_change_is_recorded_with_who_and_from_where(rig: GatewayRig) -> None:
    tenant = await rig.register()
    me = tenant.grant["user"]["id"]
    named = {"headers": {"X-Request-ID": "request-0001"}}
    bot = (await tenant.post("/chatbots", json={"name": "Helper"}, **named)).json()["id"]
    await tenant.call("PUT", f"/chatbots/{bot}/config", json={"persona": "A secret persona", "tone": "dry"})
    uploaded = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": ("a.txt", b"Some text.")})
    document = uploaded.json()["documents"][0]["id"]
    await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": ("a.txt", b"Some text.")})
    await tenant.call("DELETE", f"/knowledgebase/{bot}/documents/{document}")
    session = await tenant.new_session(bot)
    await tenant.call("PATCH", f"/chatbots/{bot}/sessions/{session}", json={"title": "A secret title"})
    await tenant.call("DELETE", f"/chatbots/{bot}/sessions/{session}")
    await tenant.get(f"/chatbots/{bot}/identity-secret")
    await tenant.call("DELETE", f"/chatbots/{bot}")
    log = await log_of(tenant)
    assert [(item["action"], item["target_kind"], item["target_id"]) for item in log] == [
        ("tenant.register", "tenant", tenant.grant["tenant"]["id"]),
        ("chatbot.create", "chatbot", bot),
        ("chatbot.update", "chatbot", bot),
        ("document.upload", "document", document),
        ("document.delete", "document", document),
        ("session.update", "session", session),
        ("session.delete", "session", session),
        ("identity_secret.read", "chatbot", bot),
        ("chatbot.delete", "chatbot", bot),
    ]
    assert {(item["actor_kind"], item["actor_id"], item["ip"]) for item in log} == {("user", me, "203.0.113.7")}
    assert log[1]["request_id"] == "request-0001"
    assert log[2]["details"] == {"version": 2, "fields": ["persona", "tone"]}
    assert log[3]["details"] == {"chatbot_id": bot, "size": 10}
    assert "secret persona" not in json.dumps(log)
    assert "secret title" not in json.dumps(log)
    assert [item["seq"] for item in log] == list(range(1, 10))


async def test_signing_in_and_out_and_what_is_refused_is_recorded(rig: GatewayRig) -> None:
    tenant = await rig.register()
    me = tenant.grant["user"]["id"]
    first = {"refresh_token": tenant.grant["refresh_token"]}
    second = (await rig.http.post("/auth/refresh", json=first)).json()["refresh_token"]
    assert (await rig.http.post("/auth/refresh", json=first)).status_code == 401
    # The family is over: neither a further use nor a log-out ends anything.
    await rig.http.post("/auth/refresh", json=first)
    await rig.http.post("/auth/logout", json={"refresh_token": second})
    grant = (await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})).json()
    await rig.http.post("/auth/logout", json={"refresh_token": grant["refresh_token"]})
    wrong = {"email": tenant.email, "password": "not the password"}
    assert (await rig.http.post("/auth/login", json=wrong)).status_code == 401

    # To read the log, for every session of theirs has ended.
    reader = Principal(TenantId(UUID(tenant.grant["tenant"]["id"])), UserId(UUID(me)), Role.OWNER)
    tenant.grant["access_token"] = await signed_token(rig, reader)
    async with asyncio.timeout(20):
        while not await log_of(tenant, action="user.login_refused"):
            await asyncio.sleep(0.05)
    log = await log_of(tenant)
    assert [(item["action"], item["actor_kind"], item["actor_id"]) for item in log] == [
        ("tenant.register", "user", me),
        ("refresh_token.reuse", "anonymous", None),
        ("user.login", "user", me),
        ("user.logout", "user", me),
        ("user.login_refused", "anonymous", None),
    ]
    assert {item["target_id"] for item in log[1:]} == {me}
    assert "not the password" not in json.dumps(log)


async def test_what_is_refused_changes_nothing_and_is_not_recorded(rig: GatewayRig) -> None:
    tenant, stranger = await rig.register(), await rig.register()
    bot = await tenant.new_bot()
    assert (await stranger.call("DELETE", f"/chatbots/{bot}")).status_code == 404
    assert (await tenant.call("PUT", f"/chatbots/{bot}/config", json={"surprise": 1})).status_code == 422
    assert [item["action"] for item in await log_of(tenant)] == ["tenant.register", "chatbot.create"]
    assert [item["action"] for item in await log_of(stranger)] == ["tenant.register"]


async def test_a_visitor_is_recorded_as_one(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    visitor = (await rig.http.post(f"/chatbots/{bot}/visitors")).json()
    headers = {"Authorization": f"Bearer {visitor['token']}"}
    session = (await rig.http.post(f"/chatbots/{bot}/sessions", headers=headers)).json()["id"]
    assert (await rig.http.delete(f"/chatbots/{bot}/sessions/{session}", headers=headers)).status_code == 204
    last = (await log_of(tenant))[-1]
    assert (last["action"], last["actor_kind"], last["actor_id"]) == (
        "session.delete",
        "visitor",
        visitor["visitor_id"],
    )
    assert (await rig.http.get("/audit", headers=headers)).status_code == 401


async def test_pages_go_back_in_time_and_filters_narrow_them(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    for number in range(4):
        await tenant.call("PUT", f"/chatbots/{bot}/config", json={"tone": f"tone {number}"})
    first = (await tenant.get("/audit", params={"limit": 4})).json()
    assert [item["seq"] for item in first["items"]] == [6, 5, 4, 3]
    second = (await tenant.get("/audit", params={"limit": 4, "cursor": first["next_cursor"]})).json()
    assert ([item["seq"] for item in second["items"]], second["next_cursor"]) == ([2, 1], None)
    assert [item["seq"] for item in await log_of(tenant, action="chatbot.create")] == [2]
    assert len(await log_of(tenant, actor=tenant.grant["user"]["id"])) == 6
    assert await log_of(tenant, actor=str(new_uuid())) == []


@pytest.mark.parametrize("query", ["cursor=0", "cursor=x", "cursor=99999999999999999999", "action=%00", "limit=0"])
async def test_strange_questions_are_refused(rig: GatewayRig, query: str) -> None:
    tenant = await rig.register()
    assert (await tenant.get(f"/audit?{query}")).status_code == 422


async def test_an_export_is_the_whole_chain_and_ends_with_itself(rig: GatewayRig) -> None:
    tenant, other = await rig.register(), await rig.register()
    await other.new_bot()
    bot = await tenant.new_bot()
    for number in range(3):
        await tenant.call("PUT", f"/chatbots/{bot}/config", json={"tone": f"tone {number}"})
    answer = await tenant.get("/audit/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["previous_hash"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert lines[-1]["action"] == "audit.export"
    assert {line["tenant_id"] for line in lines} == {tenant.grant["tenant"]["id"]}


async def test_a_long_export_comes_page_by_page(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Audit.following, "__defaults__", (2,))
    tenant = await rig.register()
    for _ in range(2):
        await tenant.get("/audit/export")
    lines = (await tenant.get("/audit/export")).text.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4]


async def test_owners_and_administrators_read_it_and_nobody_else(rig: GatewayRig) -> None:
    tenant = await rig.register()
    tenant_id = TenantId(tenant.grant["tenant"]["id"])
    for role, status in ((Role.ADMIN, 200), (Role.EDITOR, 403)):
        async with system_tx(rig.services.db) as tx:
            await tx.execute("update memberships set role = %s where tenant_id = %s", [role.value, tenant_id])
        for path in ("/audit", "/audit/export"):
            assert (await tenant.get(path)).status_code == status
    for path in ("/audit", "/audit/export"):
        assert (await rig.http.get(path)).status_code == 401
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        assert len(await Audit(tx).list_page(tenant_id, 10, action="audit.export")) == 1
