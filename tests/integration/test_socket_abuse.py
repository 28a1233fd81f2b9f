"""Clients that flood, stall, stand still or stay silent: each costs little, and nobody else notices."""

import asyncio
import json
import socket
from collections import Counter
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from deployments.gateway import chat_socket, frame_limit, socket_protocol
from deployments.gateway.send_queue import MAX_CHARS
from deployments.gateway.socket_protocol import MAX_MESSAGE_BYTES
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, ChatClient, GatewayRig, SocketRig, ask, serving


class RawClient:
    """A socket by hand, that reads only when asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, rig: SocketRig, chat: Chat) -> Self:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", rig.port))
        self = cls(*await asyncio.open_connection(sock=raw, limit=4096))
        self.writer.write(
            f"GET /chatbots/{chat.bot}/sessions/{chat.session}/ws HTTP/1.1\r\nHost: localhost\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b" 101 " in await self.reader.readuntil(b"\r\n\r\n")
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def sign_in(self, chat: Chat) -> None:
        self.writer.write(text(type="auth", token=chat.tenant.grant["access_token"]))
        await self.reader.readuntil(b'"ready"')

    async def flood(self, data: bytes) -> None:
        """Send until the server has had enough."""
        with suppress(ConnectionError):
            while True:
                self.writer.write(data)
                await self.writer.drain()


def text(**frame: Any) -> bytes:
    return Frame(Opcode.TEXT, json.dumps(frame).encode()).serialize(mask=True)


async def lives(client: ChatClient) -> None:
    await client.send(type="ping")
    await client.expect("pong")


def closes(rig: GatewayRig, code: int) -> float | None:
    return rig.services.metrics.registry.get_sample_value("loquent_socket_closes_total", {"code": str(code)})


@pytest.fixture
def no_frame_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_limit, "BURST", 1e9)


async def test_compression_is_not_spoken(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.connect(chat.bot, chat.session, compression="deflate") as client:
        asked, answered = client.connection.request, client.connection.response
        assert asked is not None
        assert answered is not None
        assert "permessage-deflate" in asked.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in answered.headers


async def test_a_million_characters_are_an_error_and_more_a_close(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client, "x" * 1_000_000)
        assert (await client.expect("error"))["code"] == "too_large"
        await lives(client)
        await client.connection.send("x" * (MAX_MESSAGE_BYTES + 1))
        assert await client.closed() == 1009


async def test_binary_frames_are_errors_however_they_come(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await client.connection.send([b"\x00" * 1_000, b"\xff" * 1_000])
        assert (await client.expect("error"))["code"] == "invalid_frame"
        await lives(client)


async def test_a_frame_that_stalls_in_the_middle_holds_nobody_up(socket_rig: SocketRig, chat: Chat) -> None:
    frame = text(type="ping", nonce="half")
    async with await RawClient.connect(socket_rig, chat) as stalled, await socket_rig.ready(*chat.where) as other:
        await stalled.sign_in(chat)
        stalled.writer.write(frame[:10])
        await stalled.writer.drain()
        await ask(other)
        await other.until("done")
        stalled.writer.write(frame[10:])
        assert await stalled.reader.readuntil(b'"half"}')


async def test_half_a_frame_does_not_put_the_deadline_of_auth_off(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    object.__setattr__(rig.services, "settings", rig.services.settings.model_copy(update={"socket_auth_seconds": 0.3}))
    async with await RawClient.connect(socket_rig, chat) as stalled:
        stalled.writer.write(text(type="auth", token="x" * 1_000)[:500])
        assert b"not_authenticated" in await stalled.reader.readuntil(b"\x11\x31")  # 4401
        await eventually(lambda: rig.services.census.total == 0)


async def test_ten_thousand_frames_at_once_end_in_a_close(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as other, await socket_rig.ready(*chat.where) as client:

        async def flood() -> None:
            with suppress(ConnectionClosed):
                for _ in range(10_000):
                    await client.send(type="ping")

        flooding = asyncio.create_task(flood())
        seen: Counter[str] = Counter()
        with suppress(ConnectionClosed):
            while True:
                seen[(await client.receive())["type"]] += 1
        assert await client.closed() == 1008
        await flooding
        assert seen["pong"] >= 59
        assert seen["error"] >= 200
        await lives(other)
    await eventually(lambda: rig.services.census.total == 0)


@pytest.mark.usefixtures("no_frame_limit")
async def test_a_client_that_sends_and_never_reads_is_dropped(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.2)
    async with await RawClient.connect(socket_rig, chat) as client:
        await client.sign_in(chat)
        flooding = asyncio.create_task(client.flood(text(type="ping", nonce="x" * 64) * 100))
        await eventually(lambda: rig.services.census.total == 0)
        assert closes(rig, 1013) == 1.0
        # Not only the application is done with it: the server lets go of the connection and of what it did not take.
        await eventually(lambda: not socket_rig.server.server_state.connections)
        await flooding


async def test_pings_whose_pongs_are_never_read_end_the_connection(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    async with await RawClient.connect(socket_rig, chat) as client:
        await client.sign_in(chat)
        await client.flood(Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 100)
        await eventually(lambda: rig.services.census.total == 0)


async def test_a_reader_that_stalls_is_dropped_with_bounded_memory_and_the_turn_goes_on(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_socket, "SLOW_READER_SECONDS", 0.3)
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.2)
    rig.conversations.words = ["x" * 8_000] * 4_000
    async with await RawClient.connect(socket_rig, chat) as client:
        await client.sign_in(chat)
        (served,) = rig.services.drain._sockets
        (connection,) = socket_rig.server.server_state.connections
        waiting, unsent = [0], [0]
        client.writer.write(text(type="message", id=str(uuid4()), text="How long?"))

        def gone() -> bool:
            waiting.append(served._queue._chars)  # type: ignore[attr-defined]
            unsent.append(connection.transport.get_write_buffer_size())
            return rig.services.census.total == 0

        await eventually(gone)
        assert 0 < max(waiting) < MAX_CHARS + 32_000
        assert 0 < max(unsent) < 256 * 1024
        await eventually(lambda: all(turn.ended for turn in rig.conversations.turns.values()))
        await eventually(lambda: not socket_rig.server.server_state.connections)
        assert closes(rig, 1013) == 1.0


async def test_a_client_that_is_silent_to_pings_is_dropped(rig: GatewayRig, chat: Chat) -> None:
    async with (
        serving(rig, ws_ping_interval=0.2, ws_ping_timeout=0.2) as fast,
        await fast.ready(*chat.where) as alive,
        await RawClient.connect(fast, chat) as silent,
    ):
        await silent.sign_in(chat)
        assert await silent.reader.read()  # to its end, a ping among it
        await eventually(lambda: rig.services.census.total == 1)
        await lives(alive)


@pytest.mark.usefixtures("no_frame_limit")
async def test_commands_that_wait_are_bounded(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()

    async def stop(*_: Any) -> bool:
        await answer.wait()
        return True

    monkeypatch.setattr(rig.conversations, "stop", stop)
    async with await socket_rig.ready(*chat.where) as client:
        for _ in range(9):
            await client.send(type="stop")
        assert (await client.expect("error"))["code"] == "rate_limited"
        # The socket goes on reading meanwhile.
        await lives(client)
        answer.set()
