"""A replica that is being replaced: its sockets are told, those that are busy go on, and all are closed in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deployments.gateway import drain as drain_module
from deployments.gateway.drain import Drain
from deployments.gateway.replacement import drain_when_replaced
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, ask


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "SPREAD_SECONDS", 0.05)


async def test_an_idle_socket_is_told_and_then_closed(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        draining = asyncio.create_task(rig.services.drain.begin(30))
        assert (await client.expect("reconnect"))["within_seconds"] == 0.05
        assert await client.closed() == 1012
        await draining
    await eventually(lambda: rig.services.census.total == 0)


async def test_a_socket_that_has_not_signed_in_is_told_as_well(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await eventually(lambda: rig.services.census.total == 1)
        draining = asyncio.create_task(rig.services.drain.begin(30))
        await client.expect("reconnect")
        assert await client.closed() == 1012
        await draining


async def test_a_running_answer_is_written_to_its_end_first(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client)
        await client.until("token")
        draining = asyncio.create_task(rig.services.drain.begin(30))
        await client.until("reconnect")
        rig.conversations.may_end.set()
        assert (await client.until("done"))[-1]["state"] == "completed"
        assert await client.closed() == 1012
        await draining


async def test_the_grace_ends_and_the_answer_goes_on_elsewhere(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client)
        await client.until("token")
        await rig.services.drain.begin(0.1)
        assert await client.closed() == 1012
    rig.conversations.may_end.set()
    await eventually(lambda: all(turn.ended for turn in rig.conversations.turns.values()))


async def test_new_sockets_are_sent_away(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    await rig.services.drain.begin(1)
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        assert await client.closed() == 1013
        assert client.connection.close_reason == "retry_after=1"


@asynccontextmanager
async def health(status: str, body: str) -> AsyncIterator[tuple[str, int]]:
    """A replica's own health check."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"GET /-/healthz HTTP/1.1\r\n"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        await writer.drain()
        writer.write(body.encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield host, port


@pytest.mark.parametrize(
    ("status", "body", "begun"),
    [
        ("503 Service Unavailable", "DRAINING", True),
        ("503 Service Unavailable", "UNHEALTHY", False),
        ("200 OK", "success", False),
        ("404 Not Found", "DRAINING", False),
    ],
)
async def test_the_health_check_tells_that_the_replica_is_being_replaced(status: str, body: str, begun: bool) -> None:
    drain = Drain()
    await drain_when_replaced(drain)
    async with health(status, body) as address:
        drain.served_at = address
        await drain_when_replaced(drain)
    assert drain.begun is begun


async def test_a_health_check_that_does_not_answer_says_nothing() -> None:
    async with health("200 OK", "success") as address:
        pass
    drain = Drain()
    drain.served_at = address
    await drain_when_replaced(drain)
    assert not drain.begun


async def test_sockets_say_where_their_server_listens(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where):
        assert rig.services.drain.served_at == ("127.0.0.1", socket_rig.port)
