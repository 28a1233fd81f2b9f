"""Sockets of who is removed, lowered, has a new password, or whose company is suspended: they close by themselves."""

from typing import Any

import pytest

from domain.tenancy import Role
from storage.postgres.database import system_tx
from tests.fixtures.gateway import Chat, ChatClient, SocketRig, Tenant
from tests.fixtures.mail import Post
from tests.integration.test_invitations import invite, new_address
from tests.integration.test_members import change, id_of, join, remove
from tests.integration.test_open_access import listeners
from tests.integration.test_passwords import NEW, forgot, reset


async def opened(socket_rig: SocketRig, chat: Chat, token: str, session: str | None = None) -> ChatClient:
    """A socket that is signed in, with the gateway listening to announcements."""
    await listeners(socket_rig.rig, 1)
    client = await socket_rig.connect(chat.bot, session or chat.session)
    await client.send(type="auth", token=token)
    await client.expect("ready")
    return client


async def told_and_closed(client: ChatClient) -> tuple[str, int | None]:
    error: dict[str, Any] = await client.expect("error")
    return error["code"], await client.closed()


@pytest.mark.parametrize("end", ["removed", "lowered"])
async def test_who_is_removed_or_lowered_is_cut_off(socket_rig: SocketRig, chat: Chat, end: str) -> None:
    agent = await join(socket_rig.rig, chat.tenant, Role.AGENT)
    async with (
        await opened(socket_rig, chat, agent.grant["access_token"]) as theirs,
        await opened(socket_rig, chat, chat.tenant.grant["access_token"]) as owners,
    ):
        if end == "removed":
            assert await remove(chat.tenant, agent) == 204
        else:
            assert (await change(chat.tenant, agent, "analyst"))[0] == 200
        code, close = await told_and_closed(theirs)
        assert (code, close) in {("forbidden", 4403), ("not_authenticated", 4401)}
        await owners.send(type="ping", nonce="x")
        await owners.expect("pong")


async def test_a_new_password_cuts_off_every_socket_of_the_person(
    socket_rig: SocketRig, chat: Chat, post: Post
) -> None:
    async with await opened(socket_rig, chat, chat.tenant.grant["access_token"]) as client:
        await forgot(socket_rig.rig, chat.tenant.email)
        assert (await reset(socket_rig.rig, await post.link(chat.tenant.email, "reset"), NEW)).status_code == 204
        assert await told_and_closed(client) == ("not_authenticated", 4401)
        assert (await chat.tenant.get("/me")).status_code == 401


async def test_a_suspension_cuts_off_people_and_visitors(socket_rig: SocketRig, chat: Chat) -> None:
    rig = socket_rig.rig
    staff = await rig.register()
    async with system_tx(rig.services.db) as tx:
        await tx.execute("insert into staff (user_id, role) values (%s, 'operator')", [id_of(staff)])
    visitor = (await rig.http.post(f"/chatbots/{chat.bot}/visitors")).json()["token"]
    headers = {"Authorization": f"Bearer {visitor}"}
    session = (await rig.http.post(f"/chatbots/{chat.bot}/sessions", headers=headers)).json()["id"]
    async with (
        await opened(socket_rig, chat, chat.tenant.grant["access_token"]) as owners,
        await opened(socket_rig, chat, visitor, session) as visitors,
    ):
        path = f"/platform/tenants/{chat.tenant.grant['tenant']['id']}/suspend"
        assert (await staff.post(path, json={"reason": "Abuse"})).status_code == 204
        for client in (owners, visitors):
            assert await told_and_closed(client) == ("tenant_suspended", 4403)


async def test_a_key_sees_to_people_but_not_to_owners(socket_rig: SocketRig, chat: Chat) -> None:
    rig, owner = socket_rig.rig, chat.tenant
    scopes = ["members.read", "members.manage"]
    made = await owner.post("/api-keys", json={"name": "Directory", "scopes": scopes})
    assert made.status_code == 201, made.text
    key = Tenant(rig.http, {**owner.grant, "access_token": made.json()["key"]}, owner.email)
    editor, other = await join(rig, owner, Role.EDITOR), await join(rig, owner, Role.OWNER)
    assert (await change(key, editor, "agent"))[0] == 200
    assert (await invite(key, new_address())).status_code == 201
    assert (await change(key, editor, "owner"))[0] == 403
    assert (await change(key, other, "editor"))[0] == 403
    assert await remove(key, other) == 403
    assert (await invite(key, new_address(), "owner")).status_code == 403
