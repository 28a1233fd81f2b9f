"""Bounds of the chat socket: origins, numbers, frame rate, the token's end, and readers that stand still."""

import asyncio
import time
from typing import Any

import pytest
from jose import jwt
from websockets.exceptions import InvalidStatus

from deployments.gateway import frame_limit
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, ask


async def test_a_foreign_page_cannot_open_a_socket(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await socket_rig.connect(chat.bot, chat.session, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    own = f"http://127.0.0.1:{socket_rig.port}"
    await (await socket_rig.connect(chat.bot, chat.session, origin=own)).connection.close()
    settings = rig.services.settings.model_copy(update={"allowed_origins": ("https://shop.example",)})
    object.__setattr__(rig.services, "settings", settings)
    await (await socket_rig.connect(chat.bot, chat.session, origin="https://shop.example")).connection.close()


async def test_sockets_are_bounded_in_all_and_per_tenant(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    rig.conversations.max_connections = 1
    async with await socket_rig.ready(*chat.where):
        async with await socket_rig.connect(chat.bot, chat.session) as second:
            await second.send(type="auth", token=chat.tenant.grant["access_token"])
            assert (await second.expect("error"))["code"] == "quota_exceeded"
            assert await second.closed() == 1013
            assert second.connection.close_reason == "retry_after=30"
        rig.services.census._limit = 1
        await eventually(lambda: rig.services.census.total == 1)
        third = await socket_rig.connect(chat.bot, chat.session)
        assert await third.closed() == 1013
        assert third.connection.close_reason == "retry_after=5"
    await eventually(lambda: rig.services.census.total == 0)
    await (await socket_rig.ready(*chat.where)).connection.close()


async def test_frames_too_fast_are_refused_and_abuse_closes(
    socket_rig: SocketRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_limit, "PER_SECOND", 0.0)
    monkeypatch.setattr(frame_limit, "MAX_REFUSALS", 5)
    async with await socket_rig.ready(*chat.where) as client:
        for _ in range(66):
            await client.send(type="ping")
        frames = [await client.receive() for _ in range(64)]
        assert [frame["type"] for frame in frames] == ["pong"] * 59 + ["error"] * 5
        assert frames[-1]["code"] == "rate_limited"
        assert await client.closed() == 1008


async def test_the_socket_ends_with_its_token_but_not_within_an_answer(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    tokens: Any = rig.services.tokens
    claims = jwt.get_unverified_claims(chat.tenant.grant["access_token"])
    claims["exp"] = int(time.time()) + 2
    token = jwt.encode(claims, tokens._key, algorithm="HS256", headers={"kid": tokens._key_id})
    rig.conversations.may_end.clear()
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=token)
        await client.expect("ready")
        await ask(client)
        await client.until("token")
        await asyncio.sleep(max(0.0, claims["exp"] + 0.2 - time.time()))
        rig.conversations.may_end.set()
        await client.until("done")
        assert (await client.expect("error"))["code"] == "not_authenticated"
        assert await client.closed() == 4401
