"""Sockets of who lost their access close, on every replica: at once when it is announced, and by looking otherwise."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from jose.jwt import get_unverified_claims
from redis.exceptions import ConnectionError as RedisConnectionError

from actors.loops import repeat
from deployments.gateway.open_access import LOOK_SECONDS, OpenAccess
from domain.errors import AppError, Forbidden, NotAuthenticated, Unavailable
from domain.ids import SignInId, TenantId, UserId, VisitorId, new_uuid
from domain.tenancy import Principal, Role
from storage.postgres.callers import Caller
from storage.postgres.database import system_tx
from storage.redis.access import announce_end, parse_end
from storage.redis.client import connect_redis
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, signed_token
from tests.fixtures.stored_turns import tenant_id_of


class Noted:
    """A twin of a socket."""

    def __init__(self) -> None:
        self.refusals: list[AppError] = []

    def refuse(self, error: AppError) -> None:
        self.refusals.append(error)


async def run(rig: GatewayRig, statement: str, *values: Any) -> None:
    async with system_tx(rig.services.db) as tx:
        await tx.execute(statement.encode(), values)


async def member(rig: GatewayRig, tenant: TenantId, role: Role) -> tuple[UserId, str]:
    user = UserId(new_uuid())
    await run(rig, "insert into users (id, email, password_hash) values (%s, %s, 'x')", user, f"{user}@a.com")
    await run(rig, "insert into memberships (tenant_id, user_id, role) values (%s, %s, %s)", tenant, user, role.value)
    return user, await signed_token(rig, Principal(tenant, user, role))


def caller_in(token: str) -> Caller:
    claims = get_unverified_claims(token)
    return Caller(TenantId(UUID(claims["tenant"])), "sign_in", UUID(claims["sid"]), UserId(UUID(claims["sub"])))


@pytest.fixture
async def second(rig: GatewayRig) -> AsyncIterator[OpenAccess]:
    """What another replica of the gateway has."""
    redis = connect_redis(rig.services.settings.redis_url or "")
    access = OpenAccess(rig.services.db, redis)
    listening = asyncio.create_task(repeat("second", access.listen, 0.01))
    await listeners(rig, 2)
    yield access
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await redis.aclose()


async def listeners(rig: GatewayRig, count: int) -> None:
    """Until so many listen: an announcement before that is lost."""
    async with asyncio.timeout(10):
        while dict(await rig.services.redis.pubsub_numsub("access-ended"))["access-ended"] < count:
            await asyncio.sleep(0.01)


async def test_an_ended_sign_in_closes_its_sockets_everywhere(
    socket_rig: SocketRig, chat: Chat, second: OpenAccess
) -> None:
    rig = socket_rig.rig
    user, lost = await member(rig, tenant_id_of(chat), Role.AGENT)
    kept = await signed_token(rig, Principal(tenant_id_of(chat), user, Role.AGENT))
    elsewhere, other = Noted(), Noted()
    second.add(caller_in(lost), elsewhere)
    second.add(caller_in(kept), other)
    async with (
        await socket_rig.ready(*chat.where) as owner,
        await socket_rig.connect(chat.bot, chat.session) as ended,
        await socket_rig.connect(chat.bot, chat.session) as staying,
    ):
        for client, token in ((ended, lost), (staying, kept)):
            await client.send(type="auth", token=token)
            await client.expect("ready")
        headers = {"Authorization": f"Bearer {kept}"}
        assert (await rig.http.post("/auth/sessions/revoke-others", headers=headers)).json() == {"ended": 1}
        assert (await ended.expect("error"))["code"] == "not_authenticated"
        assert await ended.closed() == 4401
        await eventually(lambda: elsewhere.refusals)
        assert isinstance(elsewhere.refusals[0], NotAuthenticated)
        assert other.refusals == []
        for client in (owner, staying):
            await client.send(type="ping", nonce="x")
            await client.expect("pong")


async def test_a_member_who_is_removed_or_lowered_is_shut_out(socket_rig: SocketRig, chat: Chat) -> None:
    rig, tenant = socket_rig.rig, tenant_id_of(chat)
    await listeners(rig, 1)
    for change in (
        "delete from memberships where user_id = %s",
        "update memberships set role = 'analyst' where user_id = %s",
    ):
        user, token = await member(rig, tenant, Role.AGENT)
        async with await socket_rig.connect(chat.bot, chat.session) as client:
            await client.send(type="auth", token=token)
            await client.expect("ready")
            await run(rig, change, user)
            await announce_end(rig.services.redis, tenant, user)
            assert (await client.expect("error"))["code"] == "forbidden"
            assert await client.closed() == 4403, change


async def test_another_role_that_may_chat_changes_nothing(socket_rig: SocketRig, chat: Chat) -> None:
    rig, tenant = socket_rig.rig, tenant_id_of(chat)
    user, token = await member(rig, tenant, Role.AGENT)
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=token)
        await client.expect("ready")
        await run(rig, "update memberships set role = 'editor' where user_id = %s", user)
        await rig.services.access.look()
        await client.send(type="ping", nonce="x")
        await client.expect("pong")


async def test_an_erased_visitor_is_shut_out(socket_rig: SocketRig, chat: Chat) -> None:
    rig = socket_rig.rig
    await listeners(rig, 1)
    grant = (await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={})).json()
    headers = {"Authorization": f"Bearer {grant['token']}"}
    session = (await rig.http.post(f"/chatbots/{chat.bot}/sessions", headers=headers)).json()["id"]
    visitor = VisitorId(UUID(grant["visitor_id"]))
    async with await socket_rig.connect(chat.bot, session) as client:
        await client.send(type="auth", token=grant["token"])
        await client.expect("ready")
        await announce_end(rig.services.redis, tenant_id_of(chat), visitor_id=visitor)
        await client.send(type="ping", nonce="x")
        await client.expect("pong")
        await run(rig, "delete from sessions where visitor_id = %s", visitor)
        await run(rig, "delete from visitors where id = %s", visitor)
        await announce_end(rig.services.redis, tenant_id_of(chat), visitor_id=visitor)
        assert await client.closed() == 4401


async def test_what_nobody_announced_is_found_by_looking(socket_rig: SocketRig, chat: Chat) -> None:
    rig = socket_rig.rig
    async with await socket_rig.ready(*chat.where) as client:
        await rig.services.access.look()
        await client.send(type="ping", nonce="x")
        await client.expect("pong")
        sid = caller_in(chat.tenant.grant["access_token"]).id
        await run(rig, "update sign_ins set ended_at = now() where id = %s", sid)
        await rig.services.access.look()
        assert await client.closed() == 4401
    await eventually(lambda: not rig.services.access._sockets)
    assert LOOK_SECONDS <= 4


async def test_of_many_only_those_who_ended_are_refused(rig: GatewayRig, chat: Chat) -> None:
    tenant, access = tenant_id_of(chat), OpenAccess(rig.services.db, rig.services.redis)
    people = [await member(rig, tenant, role) for role in (Role.AGENT, Role.EDITOR, Role.ANALYST)]
    sockets = [Noted() for _ in range(6)]
    callers = [
        *(caller_in(token) for _, token in people),
        Caller(tenant, "sign_in", SignInId(new_uuid()), None),
        Caller(tenant, "api_key", new_uuid(), None),
        Caller(tenant, "visitor", new_uuid(), None),
    ]
    for caller, socket in zip(callers, sockets, strict=True):
        access.add(caller, socket)
    await access.look()
    found = [type(socket.refusals[0]) if socket.refusals else None for socket in sockets]
    assert found == [None, None, Forbidden, Forbidden, NotAuthenticated, NotAuthenticated]
    # Another tenant's sign-in of the same id is another.
    abroad = Noted()
    access.add(Caller(TenantId(new_uuid()), "sign_in", callers[0].id, callers[0].user_id), abroad)
    await access.look()
    assert isinstance(abroad.refusals[0], Forbidden)


async def test_without_the_database_sockets_stay(rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    socket, access = Noted(), rig.services.access
    caller = caller_in(chat.tenant.grant["access_token"])
    access.add(caller, socket)
    await run(rig, "update sign_ins set ended_at = now() where id = %s", caller.id)

    def away(*_: Any) -> Any:
        raise Unavailable

    with monkeypatch.context() as outage:
        outage.setattr("deployments.gateway.open_access.system_tx", away)
        with pytest.raises(Unavailable):
            await access.look()
        await announce_end(rig.services.redis, caller.tenant_id, caller.user_id)
    assert socket.refusals == []
    await access.look()
    assert isinstance(socket.refusals[0], NotAuthenticated)
    access.remove(caller, socket)


async def test_an_announcement_that_cannot_be_sent_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect_redis("redis://127.0.0.1:1/0") as redis:

        async def away(*_: Any) -> None:
            raise RedisConnectionError

        monkeypatch.setattr(redis, "publish", away)
        await announce_end(redis, TenantId(new_uuid()))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"tenant": 7, "subject": null}', '{"tenant": "x"}', "\ud800"]
)
def test_what_is_no_announcement_is_passed_over(text: str) -> None:
    assert parse_end(text) is None


async def test_a_nonsense_announcement_does_not_stop_the_next(rig: GatewayRig, chat: Chat) -> None:
    await listeners(rig, 1)
    socket, caller = Noted(), caller_in(chat.tenant.grant["access_token"])
    rig.services.access.add(caller, socket)
    await rig.services.redis.publish("access-ended", "nonsense")
    await run(rig, "update sign_ins set ended_at = now() where id = %s", caller.id)
    await announce_end(rig.services.redis, caller.tenant_id, caller.user_id, SignInId(caller.id))
    await eventually(lambda: socket.refusals)
    rig.services.access.remove(caller, socket)


async def test_listening_ends_when_it_is_cancelled(rig: GatewayRig) -> None:
    for passes in range(12):
        task = asyncio.create_task(repeat("listen", partial(rig.services.access.listen), 0.01))
        for _ in range(passes * 3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled(), passes
