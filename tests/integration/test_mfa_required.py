"""A company that asks for a second factor: whoever lacks it can set it up, and nothing else."""

from uuid import UUID

import psycopg
import pytest

from deployments.gateway.models import GrantModel
from domain.ids import TenantId, new_uuid
from domain.tenancy import Role
from storage.postgres.accounts import Accounts
from storage.postgres.database import system_tx, tenant_tx
from tests.fixtures.gateway import PASSWORD, GatewayRig, SocketRig, Tenant
from tests.fixtures.second_factor import CodeClock, Enrolled, enrol


async def member(rig: GatewayRig, of: Tenant, role: Role) -> Tenant:
    """Somebody else of the company, signed in with a password."""
    email, user = f"{new_uuid()}@example.com", new_uuid()
    password_hash = await rig.services.passwords.hash(PASSWORD)
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "insert into users (id, email, password_hash) values (%s, %s, %s)", [user, email, password_hash]
        )
        await tx.execute(
            "insert into memberships (tenant_id, user_id, role) values (%s, %s, %s)",
            [of.grant["tenant"]["id"], user, role.value],
        )
        assert await Accounts(tx).find_by_email(email) is not None
    answer = await rig.http.post("/auth/login", json={"email": email, "password": PASSWORD})
    return Tenant(rig.http, GrantModel.model_validate(answer.json()).model_dump(mode="json"), email)


async def test_the_owner_needs_one_of_their_own_first(rig: GatewayRig) -> None:
    tenant = await rig.register()
    assert (await tenant.get("/tenant/security")).json() == {"require_mfa": False}
    answer = await tenant.call("PATCH", "/tenant/security", json={"require_mfa": True})
    assert answer.status_code == 409
    assert (await tenant.get("/tenant/security")).json() == {"require_mfa": False}
    assert (await tenant.get("/chatbots")).status_code == 200


async def test_who_lacks_it_can_only_set_it_up(rig: GatewayRig, enrolled: Enrolled, code_clock: CodeClock) -> None:
    owner = enrolled.tenant
    editor = await member(rig, owner, Role.EDITOR)
    assert (await editor.get("/chatbots")).status_code == 200
    assert (await owner.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 200
    for method, path in (("GET", "/chatbots"), ("POST", "/chatbots"), ("GET", "/me"), ("GET", "/audit")):
        answer = await editor.call(method, path, json={"name": "New"} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "mfa_enrolment_required"), path
    assert (await owner.get("/chatbots")).status_code == 200
    # A new log-in and a renewed token open no more.
    again = await rig.http.post("/auth/login", json={"email": editor.email, "password": PASSWORD})
    renewed = await rig.http.post("/auth/refresh", json={"refresh_token": editor.grant["refresh_token"]})
    for grant in (again.json(), renewed.json()):
        assert (await Tenant(rig.http, grant, editor.email).get("/chatbots")).status_code == 403
    state = (await editor.get("/auth/mfa")).json()
    assert state == {"enabled": False, "required": True, "recovery_codes_left": 0}
    assert (await (await enrol(editor, code_clock)).tenant.get("/chatbots")).status_code == 200


async def test_who_removes_it_is_out_again_and_the_owner_may_stop_asking(rig: GatewayRig, enrolled: Enrolled) -> None:
    owner = enrolled.tenant
    editor = await enrol(await member(rig, owner, Role.EDITOR), enrolled.clock)
    for _ in range(2):
        assert (await owner.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 200
    body = {"password": PASSWORD, "recovery_code": editor.recovery_codes[0]}
    assert (await editor.tenant.call("DELETE", "/auth/mfa", json=body)).status_code == 204
    assert (await editor.tenant.get("/chatbots")).status_code == 403
    assert (await owner.call("PATCH", "/tenant/security", json={"require_mfa": False})).status_code == 200
    assert (await editor.tenant.get("/chatbots")).status_code == 200
    changes = (await owner.get("/audit", params={"action": "tenant.security_update"})).json()["items"]
    assert [item["details"] for item in changes] == [{"require_mfa": False}, {"require_mfa": True}]


async def test_other_companies_go_on_as_before(rig: GatewayRig, enrolled: Enrolled) -> None:
    other = await rig.register()
    assert (await enrolled.tenant.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 200
    assert (await other.get("/chatbots")).status_code == 200
    assert (await other.get("/tenant/security")).json() == {"require_mfa": False}


async def test_only_the_owner_decides(rig: GatewayRig, enrolled: Enrolled) -> None:
    for role in (Role.ADMIN, Role.EDITOR):
        person = await member(rig, enrolled.tenant, role)
        assert (await person.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 403


async def test_bad_settings_are_refused(enrolled: Enrolled) -> None:
    for body in ({}, {"require_mfa": "yes please"}, {"require_mfa": None}, {"require_mfa": True, "plan": "pro"}):
        answer = await enrolled.tenant.call("PATCH", "/tenant/security", json=body)
        assert answer.status_code == 422


async def test_a_socket_asks_too(socket_rig: SocketRig, code_clock: CodeClock) -> None:
    rig = socket_rig.rig
    owner = (await enrol(await rig.register(), code_clock)).tenant
    editor = await member(rig, owner, Role.EDITOR)
    bot = await owner.new_bot()
    session = await owner.new_session(bot)
    assert (await owner.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 200
    async with await socket_rig.connect(bot, session) as client:
        await client.send(type="auth", token=editor.grant["access_token"])
        assert (await client.expect("error"))["code"] == "mfa_enrolment_required"
        assert await client.closed() == 4403


async def test_a_company_sees_of_its_own_people_only_whether_they_have_one(rig: GatewayRig, enrolled: Enrolled) -> None:
    other = await enrol(await rig.register(), enrolled.clock)
    statements = (
        "select user_id from totp_factors where confirmed_at is not null",
        "select secret from totp_factors",
        "select * from recovery_codes",
        "select * from external_identities",
        "update totp_factors set confirmed_at = null",
        "delete from totp_factors",
    )
    tenant = TenantId(UUID(enrolled.tenant.grant["tenant"]["id"]))
    async with tenant_tx(rig.services.db, tenant) as tx:
        seen = await (await tx.execute(statements[0].encode())).fetchall()
    assert [str(row["user_id"]) for row in seen] == [enrolled.tenant.grant["user"]["id"]]
    assert other.tenant.grant["user"]["id"] not in str(seen)
    for statement in statements[1:]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with tenant_tx(rig.services.db, tenant) as tx:
                await tx.execute(statement.encode())
