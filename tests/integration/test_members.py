"""The tenant's people over HTTP: who may change whom, the last owner, and what ends at once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.ids import TenantId, UserId, new_uuid
from domain.tenancy import Principal, Role
from storage.postgres.database import system_tx
from tests.fixtures.gateway import GatewayRig, Tenant
from tests.fixtures.mail import Post

Answer = tuple[int, dict[str, Any]]


async def join(rig: GatewayRig, tenant: Tenant, role: Role) -> Tenant:
    """Somebody else of this tenant, signed in."""
    user, tenant_id = UserId(new_uuid()), TenantId(UUID(tenant.grant["tenant"]["id"]))
    email = f"{user}@example.com"
    async with system_tx(rig.services.db) as tx:
        await tx.execute("insert into users (id, email, password_hash) values (%s, %s, 'x')", [user, email])
        await tx.execute(
            "insert into memberships (tenant_id, user_id, role) values (%s, %s, %s)", [tenant_id, user, role.value]
        )
        await tx.execute(
            "insert into refresh_tokens (id, family, user_id, tenant_id, token_hash, expires_at)"
            " values (%s, %s, %s, %s, %s, now() + interval '1 day')",
            [new_uuid(), new_uuid(), user, tenant_id, user.bytes],
        )
    token = rig.services.tokens.sign(Principal(tenant_id, user, role))
    grant = {**tenant.grant, "access_token": token, "user": {"id": str(user), "email": email}}
    return Tenant(rig.http, grant, email)


def id_of(person: Tenant) -> str:
    return str(person.grant["user"]["id"])


async def change(by: Tenant, whom: Tenant, role: object, **more: object) -> Answer:
    answer = await by.call("PATCH", f"/members/{id_of(whom)}", json={"role": role, **more})
    return answer.status_code, answer.json()


async def remove(by: Tenant, whom: Tenant) -> int:
    return (await by.call("DELETE", f"/members/{id_of(whom)}")).status_code


async def roles(owner: Tenant) -> dict[str, str]:
    items = (await owner.get("/members")).json()["items"]
    return {item["user_id"]: item["role"] for item in items}


async def actions(owner: Tenant, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await owner.get("/audit", params={"action": action})).json()["items"]
    return found


async def test_members_are_listed_page_by_page(rig: GatewayRig) -> None:
    owner = await rig.register()
    others = [await join(rig, owner, role) for role in (Role.ADMIN, Role.EDITOR, Role.AGENT)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await owner.get("/members", params=params)).json()
        seen += [item["user_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == [id_of(person) for person in (owner, *others)]
    first = (await owner.get("/members")).json()["items"][0]
    assert (first["email"], first["role"], first["email_verified_at"]) == (owner.email, "owner", None)
    assert set(first) == {"user_id", "email", "role", "email_verified_at", "joined_at"}


async def test_a_new_role_holds_from_the_next_request_and_is_recorded(rig: GatewayRig) -> None:
    owner = await rig.register()
    editor = await join(rig, owner, Role.EDITOR)
    assert (await editor.post("/chatbots", json={"name": "One"})).status_code == 201
    status, member = await change(owner, editor, "analyst")
    assert (status, member["role"]) == (200, "analyst")
    assert (await editor.post("/chatbots", json={"name": "Two"})).status_code == 403
    (event,) = await actions(owner, "member.update")
    assert (event["actor_id"], event["target_id"]) == (id_of(owner), id_of(editor))
    assert event["details"] == {"from": "editor", "to": "analyst"}
    # The same again changes nothing.
    assert (await change(owner, editor, "analyst"))[0] == 200
    assert len(await actions(owner, "member.update")) == 1


async def test_who_is_removed_is_out_at_once_and_keeps_no_session(rig: GatewayRig, post: Post) -> None:
    owner = await rig.register()
    editor = await join(rig, owner, Role.EDITOR)
    assert await remove(owner, editor) == 204
    assert (await editor.get("/chatbots")).status_code == 401
    (row,) = await post.rows("select revoked_at from refresh_tokens where user_id = %s", id_of(editor))
    assert row["revoked_at"] is not None
    assert id_of(editor) not in await roles(owner)
    assert await remove(owner, editor) == 404
    (event,) = await actions(owner, "member.remove")
    assert event["details"] == {"role": "editor"}


@pytest.mark.parametrize(("role", "ends"), [("analyst", True), ("agent", True), ("editor", False), ("admin", False)])
async def test_only_who_loses_a_right_loses_the_sessions(rig: GatewayRig, post: Post, role: str, ends: bool) -> None:
    owner = await rig.register()
    editor = await join(rig, owner, Role.EDITOR)
    await change(owner, editor, role)
    (row,) = await post.rows("select revoked_at from refresh_tokens where user_id = %s", id_of(editor))
    assert (row["revoked_at"] is not None) is ends


async def test_only_owners_make_change_or_remove_owners(rig: GatewayRig) -> None:
    owner = await rig.register()
    admin, other = await join(rig, owner, Role.ADMIN), await join(rig, owner, Role.EDITOR)
    assert (await change(admin, other, "owner"))[0] == 403
    assert (await change(admin, admin, "owner"))[0] == 403
    assert (await change(admin, owner, "editor"))[0] == 403
    assert await remove(admin, owner) == 403
    assert (await change(admin, other, "admin"))[0] == 200
    assert (await change(owner, other, "owner"))[0] == 200
    assert (await change(other, owner, "editor"))[0] == 200
    assert await roles(other) == {id_of(owner): "editor", id_of(admin): "admin", id_of(other): "owner"}


async def test_the_last_owner_stays_one(rig: GatewayRig) -> None:
    owner = await rig.register()
    await join(rig, owner, Role.ADMIN)
    status, body = await change(owner, owner, "admin")
    assert (status, body["error"]["code"]) == (409, "conflict")
    assert await remove(owner, owner) == 409
    other = await join(rig, owner, Role.OWNER)
    assert await remove(owner, owner) == 204
    assert await remove(other, other) == 409


async def test_owners_who_turn_on_each_other_leave_one(rig: GatewayRig) -> None:
    for _ in range(3):
        first = await rig.register()
        owners = [first, *[await join(rig, first, Role.OWNER) for _ in range(3)]]
        # Everybody lowers the next one, all at once.
        await asyncio.gather(
            *(change(by, whom, "editor") for by, whom in zip(owners, [*owners[1:], first], strict=True))
        )
        left = [person for person in owners if (await person.get("/members")).status_code == 200]
        assert left
        assert "owner" in (await roles(left[0])).values()


async def test_owners_who_leave_together_leave_one(rig: GatewayRig) -> None:
    first = await rig.register()
    owners = [first, *[await join(rig, first, Role.OWNER) for _ in range(3)]]
    statuses = await asyncio.gather(*(remove(person, person) for person in owners))
    assert sorted(statuses) == [204, 204, 204, 409]


async def test_people_of_another_company_do_not_exist(rig: GatewayRig) -> None:
    owner, stranger = await rig.register(), await rig.register()
    assert (await change(owner, stranger, "editor"))[0] == 404
    assert await remove(owner, stranger) == 404
    for odd in (str(uuid4()), "x", "%00", "..", id_of(owner) + "0"):
        assert (await owner.call("DELETE", f"/members/{odd}")).status_code == 404


@pytest.mark.parametrize("role", ["root", "OWNER", "", None, 7, ["owner"], "staff", "operator"])
async def test_no_other_roles_exist(rig: GatewayRig, role: object) -> None:
    owner = await rig.register()
    assert (await change(owner, await join(rig, owner, Role.EDITOR), role))[0] == 422


async def test_a_role_is_all_that_can_be_changed(rig: GatewayRig) -> None:
    owner = await rig.register()
    editor = await join(rig, owner, Role.EDITOR)
    for more in ({"tenant_id": str(uuid4())}, {"user_id": str(uuid4())}, {"email": "a@example.com"}, {"id": 1}):
        assert (await change(owner, editor, "admin", **more))[0] == 422
    assert (await roles(owner))[id_of(editor)] == "editor"
