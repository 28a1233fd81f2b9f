"""The platform's staff: what they see, how a tenant is suspended, and that nobody becomes staff over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cluster.command import app
from tests.fixtures.database import DATABASE_SECRET
from tests.fixtures.gateway import PASSWORD, Chat, GatewayRig, SocketRig, Tenant
from tests.integration.test_members import actions, id_of

Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def staff_command(postgres_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`loquent staff …`, as an operator runs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("LOQUENT_SECRET_KEY", DATABASE_SECRET)
    monkeypatch.setenv("COLUMNS", "300")

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["staff", *arguments])
        return result.exit_code, result.output

    return run


@pytest.fixture
async def operator(rig: GatewayRig, staff_command: Command) -> Tenant:
    person = await rig.register()
    assert (await staff_command("grant", person.email.upper(), "operator"))[0] == 0
    return person


def id_of_tenant(tenant: Tenant) -> str:
    return str(tenant.grant["tenant"]["id"])


async def suspend(staff: Tenant, tenant: Tenant, reason: str = "Unpaid") -> int:
    path = f"/platform/tenants/{id_of_tenant(tenant)}/suspend"
    return (await staff.post(path, json={"reason": reason})).status_code


async def resume(staff: Tenant, tenant: Tenant) -> int:
    return (await staff.post(f"/platform/tenants/{id_of_tenant(tenant)}/resume")).status_code


def refused(answer: Any) -> bool:
    return bool(answer.status_code == 403 and answer.json()["error"]["code"] == "tenant_suspended")


async def test_only_the_command_makes_staff(rig: GatewayRig, staff_command: Command) -> None:
    person = await rig.register()
    assert (await person.get("/platform/tenants")).status_code == 403
    code, output = await staff_command("grant", person.email, "support")
    assert (code, f"{person.email} is support." in output) == (0, True)
    assert (await person.get("/platform/tenants")).status_code == 200
    assert await suspend(person, await rig.register()) == 403
    code, output = await staff_command("list")
    assert f"{person.email} support since" in output
    assert (await staff_command("grant", person.email, "operator"))[0] == 0
    assert await suspend(person, await rig.register()) == 204
    assert (await staff_command("revoke", person.email))[0] == 0
    assert (await person.get("/platform/tenants")).status_code == 403
    assert (await staff_command("revoke", person.email))[0] == 1


async def test_the_command_says_what_is_wrong(staff_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = await staff_command("grant", "nobody@example.com", "support")
    assert (code, "Nobody has an account" in output) == (1, True)
    assert (await staff_command("grant", "a@example.com", "root"))[0] == 2
    monkeypatch.delenv("LOQUENT_SECRET_KEY")
    code, output = await staff_command("list")
    assert (code, "Set LOQUENT_SECRET_KEY" in output) == (1, True)


async def test_staff_see_how_much_and_never_what(rig: GatewayRig, operator: Tenant) -> None:
    tenant = await rig.register()
    await tenant.new_session(await tenant.new_bot())
    found, cursor = None, None
    while found is None:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = (await operator.get("/platform/tenants", params=params)).json()
        found = next((item for item in page["items"] if item["id"] == id_of_tenant(tenant)), None)
        cursor = page["next_cursor"]
        assert found or cursor
    counts = {key: found[key] for key in ("members", "chatbots", "documents", "sessions")}
    assert counts == {"members": 1, "chatbots": 1, "documents": 0, "sessions": 1}
    assert set(found) == {*counts, "id", "name", "plan", "created_at", "suspended_at"}
    (event,) = await actions(tenant, "staff.read")
    assert (event["actor_kind"], event["actor_id"]) == ("staff", id_of(operator))


async def test_staff_have_no_rights_in_tenants(rig: GatewayRig, operator: Tenant) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    assert (await operator.get(f"/chatbots/{bot}")).status_code == 404
    assert (await operator.post("/auth/switch", json={"tenant_id": id_of_tenant(tenant)})).status_code == 404


async def test_a_suspended_tenant_is_refused_everywhere_until_it_is_resumed(rig: GatewayRig, operator: Tenant) -> None:
    tenant, bystander = await rig.register(), await rig.register()
    bot = await tenant.new_bot()
    await tenant.call("PUT", f"/chatbots/{bot}/config", json={"visitors": "anonymous"})
    welcomed = await rig.http.post(f"/chatbots/{bot}/visitors")
    assert welcomed.status_code == 201, welcomed.text
    visitor = {"Authorization": f"Bearer {welcomed.json()['token']}"}
    log_in = {"email": tenant.email, "password": PASSWORD}
    token = {"refresh_token": tenant.grant["refresh_token"]}
    assert await suspend(operator, tenant, "Unpaid since May") == 204
    assert refused(await tenant.get("/chatbots"))
    assert refused(await tenant.get("/me"))
    assert refused(await tenant.post("/auth/switch", json={"tenant_id": id_of_tenant(tenant)}))
    assert refused(await rig.http.post("/auth/login", json=log_in))
    assert refused(await rig.http.post("/auth/refresh", json=token))
    assert refused(await rig.http.post(f"/chatbots/{bot}/visitors"))
    assert refused(await rig.http.get(f"/chatbots/{bot}/sessions", headers=visitor))
    # A wrong password still says no more than that.
    wrong = await rig.http.post("/auth/login", json={**log_in, "password": "wrong"})
    assert wrong.status_code == 401
    assert (await bystander.get("/chatbots")).status_code == 200
    assert await resume(operator, tenant) == 204
    assert (await tenant.get("/chatbots")).status_code == 200
    assert (await rig.http.get(f"/chatbots/{bot}/sessions", headers=visitor)).status_code == 200
    # The refused exchange has not used the token up.
    assert (await rig.http.post("/auth/refresh", json=token)).status_code == 200
    (event,) = await actions(tenant, "tenant.suspend")
    assert (event["actor_kind"], event["details"]) == ("staff", {"reason": "Unpaid since May"})
    assert len(await actions(tenant, "tenant.resume")) == 1


async def test_a_suspended_tenants_chats_are_refused(socket_rig: SocketRig, chat: Chat, operator: Tenant) -> None:
    assert await suspend(operator, chat.tenant) == 204
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=chat.tenant.grant["access_token"])
        assert (await client.expect("error"))["code"] == "tenant_suspended"
        assert await client.closed() == 4403


async def test_who_has_another_company_signs_in_there(rig: GatewayRig, operator: Tenant) -> None:
    tenant = await rig.register()
    second = (await tenant.post("/tenants", json={"company": "Second"})).json()
    await suspend(operator, tenant)
    answer = await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})
    assert answer.json()["tenant"] == second["tenant"]
    inside = Tenant(rig.http, answer.json(), tenant.email)
    items = (await inside.get("/me/tenants")).json()["items"]
    assert [item["suspended"] for item in items] == [True, False]


async def test_suspending_twice_is_once_and_oneself_is_never(rig: GatewayRig, operator: Tenant) -> None:
    tenant = await rig.register()
    assert [await suspend(operator, tenant) for _ in range(2)] == [204, 204]
    assert [await resume(operator, tenant) for _ in range(2)] == [204, 204]
    assert len(await actions(tenant, "tenant.suspend")) == len(await actions(tenant, "tenant.resume")) == 1
    assert await suspend(operator, operator) == 409
    missing = await operator.post(f"/platform/tenants/{uuid4()}/suspend", json={"reason": "x"})
    assert missing.status_code == 404
    for body in ({}, {"reason": " "}, {"reason": "x" * 201}, {"reason": "x", "plan": "free"}):
        path = f"/platform/tenants/{id_of_tenant(tenant)}/suspend"
        assert (await operator.post(path, json=body)).status_code == 422
