"""Sign-ins over HTTP: listed with where they came from, ended one by one or all but one, and dead at once."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from jose.jwt import get_unverified_claims

from configs.settings import Settings
from domain.ids import TenantId, UserId
from domain.tenancy import Principal, Role
from storage.postgres.database import Transaction, system_tx
from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant, signed_token


async def log_in(rig: GatewayRig, tenant: Tenant, agent: str = "Browser/1.0") -> Tenant:
    """The same person on another device."""
    body = {"email": tenant.email, "password": PASSWORD}
    answer = await rig.http.post("/auth/login", json=body, headers={"User-Agent": agent})
    assert answer.status_code == 200, answer.text
    return Tenant(rig.http, answer.json(), tenant.email)


async def listed(tenant: Tenant) -> list[dict[str, Any]]:
    answer = await tenant.get("/auth/sessions")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def sid(tenant: Tenant) -> str:
    return str(get_unverified_claims(tenant.grant["access_token"])["sid"])


async def refreshed(rig: GatewayRig, tenant: Tenant) -> int:
    answer = await rig.http.post("/auth/refresh", json={"refresh_token": tenant.grant["refresh_token"]})
    return answer.status_code


async def run(rig: GatewayRig, statement: str, *values: Any) -> None:
    async with system_tx(rig.services.db) as tx:
        await tx.execute(statement.encode(), values)


async def test_every_log_in_is_listed_with_its_device(rig: GatewayRig) -> None:
    first = await rig.register()
    second = await log_in(rig, first, "Phone/2.0 " + "x" * 300)
    third = await log_in(rig, first, "Trick\x1b[31m\xe9")
    items = {item["id"]: item for item in await listed(second)}
    assert set(items) == {sid(first), sid(second), sid(third)}
    mine = items[sid(second)]
    assert mine["user_agent"] == ("Phone/2.0 " + "x" * 300)[:200]
    assert (mine["method"], mine["ip"], mine["tenant_name"]) == ("password", "203.0.113.7", "Example Ltd")
    assert items[sid(first)]["method"] == "registration"
    assert items[sid(third)]["user_agent"].startswith("Trick?[31m")
    assert items[sid(third)]["user_agent"].isascii()
    assert [item["id"] for item in items.values() if item["current"]] == [sid(second)]
    assert mine["created_at"] <= mine["last_used_at"] < mine["expires_at"]


async def test_a_refresh_stays_in_its_sign_in_and_is_its_last_use(rig: GatewayRig) -> None:
    tenant = await rig.register()
    [before] = await listed(tenant)
    answer = await rig.http.post("/auth/refresh", json={"refresh_token": tenant.grant["refresh_token"]})
    again = Tenant(rig.http, answer.json(), tenant.email)
    assert sid(again) == sid(tenant)
    [after] = await listed(again)
    assert after["last_used_at"] > before["last_used_at"]
    assert after["expires_at"] == before["expires_at"]


async def test_an_ended_sign_in_is_dead_at_once(rig: GatewayRig) -> None:
    kept = await rig.register()
    lost = await log_in(rig, kept)
    assert (await lost.get("/chatbots")).status_code == 200
    path = f"/auth/sessions/{sid(lost)}"
    assert (await kept.call("DELETE", path)).status_code == 204
    for where in ("/chatbots", "/me", "/auth/sessions"):
        assert (await lost.get(where)).status_code == 401, where
    assert await refreshed(rig, lost) == 401
    assert (await kept.call("DELETE", path)).status_code == 404
    assert [item["id"] for item in await listed(kept)] == [sid(kept)]
    assert await refreshed(rig, kept) == 200
    events = (await kept.get("/audit", params={"action": "sign_in.revoke"})).json()["items"]
    assert [(event["actor_kind"], event["target_id"]) for event in events] == [("user", sid(lost))]


async def test_all_others_end_at_once_in_every_company(rig: GatewayRig) -> None:
    kept, other = await rig.register(), await rig.register()
    lost = [await log_in(rig, kept) for _ in range(2)]
    # The same person in a second company.
    user, company = UserId(UUID(kept.grant["user"]["id"])), TenantId(UUID(other.grant["tenant"]["id"]))
    await run(rig, "insert into memberships (tenant_id, user_id, role) values (%s, %s, 'editor')", company, user)
    token = await signed_token(rig, Principal(company, user, Role.EDITOR))
    abroad = Tenant(rig.http, {"access_token": token}, kept.email)
    assert (await abroad.get("/chatbots")).status_code == 200
    assert (await kept.post("/auth/sessions/revoke-others")).json() == {"ended": 3}
    for tenant in (*lost, abroad):
        assert (await tenant.get("/chatbots")).status_code == 401
    assert (await kept.get("/chatbots")).status_code == 200
    assert (await other.get("/chatbots")).status_code == 200
    assert (await kept.post("/auth/sessions/revoke-others")).json() == {"ended": 0}
    # Each company's log has its own part.
    for tenant, count in ((kept, 2), (other, 1)):
        events = (await tenant.get("/audit", params={"action": "sign_in.revoke"})).json()["items"]
        assert len(events) == count


async def test_nobody_ends_what_is_not_theirs(rig: GatewayRig) -> None:
    tenant, stranger = await rig.register(), await rig.register()
    for path in (f"/auth/sessions/{sid(tenant)}", f"/auth/sessions/{uuid4()}"):
        assert (await stranger.call("DELETE", path)).status_code == 404
    assert (await stranger.call("DELETE", "/auth/sessions/current")).status_code in (404, 422)
    assert (await tenant.get("/me")).status_code == 200
    assert [item["id"] for item in await listed(stranger)] == [sid(stranger)]


async def test_logging_out_and_the_reuse_of_a_token_end_access_too(rig: GatewayRig) -> None:
    out = await rig.register()
    await rig.http.post("/auth/logout", json={"refresh_token": out.grant["refresh_token"]})
    assert (await out.get("/me")).status_code == 401
    robbed = await rig.register()
    assert await refreshed(rig, robbed) == 200
    assert (await robbed.get("/me")).status_code == 200
    assert await refreshed(rig, robbed) == 401
    assert (await robbed.get("/me")).status_code == 401


async def test_a_sign_in_ends_unused_and_after_its_longest_time(rig: GatewayRig) -> None:
    absolute, idle = await rig.register(), await rig.register()
    await run(rig, "update sign_ins set expires_at = now() where id = %s", sid(absolute))
    assert (await absolute.get("/me")).status_code == 401
    assert await refreshed(rig, absolute) == 401
    await run(rig, "update refresh_tokens set expires_at = now() where family = %s", sid(idle))
    assert await refreshed(rig, idle) == 401
    assert await listed(idle) == []


@pytest.mark.parametrize(("idle", "longest"), [(30, 90), (30, 7)])
async def test_no_refresh_token_outlives_its_sign_in(rig: GatewayRig, idle: int, longest: int) -> None:
    settings: Settings = rig.services.settings.model_copy(update={"refresh_token_days": idle, "sign_in_days": longest})
    object.__setattr__(rig.services, "settings", settings)
    tenant = await rig.register()
    async with system_tx(rig.services.db) as tx:
        query = (
            "select extract(day from r.expires_at - now() + interval '1 hour')::int as token,"
            " extract(day from s.expires_at - now() + interval '1 hour')::int as sign_in"
            " from refresh_tokens r join sign_ins s on s.id = r.family where s.id = %s"
        )
        row = await (await tx.execute(query.encode(), [sid(tenant)])).fetchone()
    assert row == {"token": min(idle, longest), "sign_in": longest}


async def test_who_asks_costs_one_statement(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await rig.register()
    statements: list[str] = []
    execute = Transaction.execute

    async def noted(self: Transaction, query: Any, *args: Any, **options: Any) -> Any:
        statements.append(str(query))
        return await execute(self, query, *args, **options)

    monkeypatch.setattr(Transaction, "execute", noted)
    assert (await tenant.get("/chatbots")).status_code == 200
    # Two transactions, who asks and what they asked for: each its tenant, in the same pipeline, and one statement.
    assert [("set_config" in statement) for statement in statements] == [True, False, True, False]
    assert "sign_ins" in statements[1]
    assert "memberships" in statements[1]
