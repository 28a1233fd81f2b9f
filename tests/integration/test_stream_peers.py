"""Peers of a stream connection that are strangers, broken, slow or silent: only their own connection suffers."""

import asyncio
from contextlib import suppress

import pytest

from actors.streams import Limits, StreamPool
from actors.streams.codec import HEADER, Kind, frame, pack
from actors.streams.handshake import new_nonce
from domain.errors import Unavailable
from tests.fixtures.conditions import eventually
from tests.fixtures.streams import SECRET, OpenServer, Peer, StreamService, address


async def test_a_wrong_secret_is_refused_by_both_sides(
    open_stream_server: OpenServer, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    stranger = StreamPool("another secret")
    with pytest.raises(Unavailable, match="refused"):
        await stranger.call(here, "echo", 1)
    await stranger.close()
    for secret in ("",):
        with pytest.raises(ValueError, match="secret"):
            StreamPool(secret)
        with pytest.raises(ValueError, match="secret"):
            await open_stream_server(secret=secret)


async def test_an_impostor_server_gets_no_request(stream_pool: StreamPool) -> None:
    received = bytearray()
    done = asyncio.Event()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Kind.HELLO, 0, pack([new_nonce()])))
        hello = await reader.readexactly(HEADER.size)
        await reader.readexactly(HEADER.unpack(hello)[0])
        writer.write(frame(Kind.HELLO, 0, pack([new_nonce()])))  # no proof of anything
        with suppress(ConnectionError):
            received.extend(await reader.read())
        writer.close()
        done.set()

    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    with pytest.raises(Unavailable, match="refused"):
        await stream_pool.call(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "echo", "confidential")
    await asyncio.wait_for(done.wait(), 5)
    assert not received
    server.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        HEADER.pack(1_025, Kind.HELLO, 0),
        frame(Kind.OPEN, 1, pack(["echo", 1])),
        frame(Kind.HELLO, 0, pack([b"x" * 32, b"y" * 32])),
        frame(Kind.HELLO, 0, pack("hello")),
        frame(Kind.HELLO, 0, b"\xc1"),
        frame(99, 0),  # type: ignore[arg-type]
    ],
    ids=["http", "oversize", "early open", "forged", "malformed", "garbage", "unknown kind"],
)
async def test_strangers_are_closed_without_harm_to_others(
    open_stream_server: OpenServer, stream_pool: StreamPool, data: bytes
) -> None:
    server = await open_stream_server()
    items = stream_pool.stream(address(server), "forever", None)
    await anext(items)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    assert await closed_by_peer(reader)
    writer.close()
    assert await stream_pool.call(address(server), "echo", 1) == 1
    await items.aclose()


async def closed_by_peer(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
    return True


async def test_silent_strangers_are_closed_and_counted(open_stream_server: OpenServer, stream_pool: StreamPool) -> None:
    server = await open_stream_server(limits=Limits(hello_within=0.3, greeting_peers=3))
    strangers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    for reader, writer in strangers:
        assert await closed_by_peer(reader)
        writer.close()
    assert await stream_pool.call(address(server), "echo", 1) == 1


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(8 * 1024 * 1024 + 1, Kind.OPEN, 1),
        frame(Kind.OPEN, 1, b"\xc1"),
        frame(Kind.OPEN, 1, pack([1, 2])),
        frame(Kind.OPEN, 1, pack("echo")),
        frame(Kind.OPEN, 1, pack(["gated", 1])) * 2,
        frame(Kind.ITEMS, 1, pack([1])),
        frame(Kind.HELLO, 0, pack([b"x" * 32, b"y" * 32])),
    ],
    ids=["oversize", "garbage", "method", "shape", "twice", "items", "second hello"],
)
async def test_bad_frames_of_a_peer_close_only_its_connection(
    open_stream_server: OpenServer, stream_pool: StreamPool, data: bytes
) -> None:
    server = await open_stream_server()
    items = stream_pool.stream(address(server), "forever", None)
    await anext(items)
    peer = await Peer.connect(server.port)
    await peer.send(data)
    while await peer.receive():
        pass
    peer.sock.close()
    assert await stream_pool.call(address(server), "echo", 1) == 1
    await items.aclose()


async def test_a_server_that_sends_garbage_is_dropped() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff" * 64)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = StreamPool(SECRET)
    with pytest.raises(Unavailable):
        await pool.call(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "echo", 1)
    await pool.close()
    server.close()


async def test_cancels_of_unknown_streams_are_ignored(open_stream_server: OpenServer) -> None:
    server = await open_stream_server()
    peer = await Peer.connect(server.port)
    await peer.send(frame(Kind.CANCEL, 5) + frame(Kind.PING, 0) + frame(Kind.OPEN, 6, pack(["echo", "x"])))
    assert await peer.next() == (Kind.ITEMS, 6, ["x"])
    assert await peer.next() == (Kind.END, 6, None)
    peer.sock.close()


async def test_a_peer_that_does_not_read_pauses_the_producer_and_is_dropped(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    limits = Limits(write_high=64 * 1024, stuck_after=1.0)
    server = await open_stream_server(limits=limits)
    peer = await Peer.connect(server.port, receive_buffer=4_096)
    await peer.send(frame(Kind.OPEN, 1, pack(["flood", 1_000])))
    await eventually(lambda: any(link._paused for link in server._links))
    (link,) = server._links
    produced = stream_service.seen["produced"]
    assert await stream_pool.call(address(server), "echo", 1) == 1  # others go on
    assert link._transport.get_write_buffer_size() < 4 * limits.write_high
    assert stream_service.seen["produced"] == produced
    await eventually(lambda: stream_service.seen["flood ended"] == 1)
    peer.sock.close()


async def test_a_peer_that_asks_and_never_reads_is_dropped(open_stream_server: OpenServer) -> None:
    server = await open_stream_server(limits=Limits(write_max=100_000))
    peer = await Peer.connect(server.port, receive_buffer=4_096)
    unknown = b"".join(frame(Kind.OPEN, stream, pack(["no such method", None])) for stream in range(2_000))
    refused = False
    async with asyncio.timeout(30):
        while not refused:
            try:
                await peer.send(unknown)
            except ConnectionError:
                refused = True
    peer.sock.close()


async def test_a_silent_peer_is_dropped_and_a_living_one_is_not(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    server = await open_stream_server(limits=Limits(heartbeat_every=0.1, dead_after=0.5))
    peer = await Peer.connect(server.port)
    await peer.send(frame(Kind.OPEN, 1, pack(["forever", None])))
    await eventually(lambda: stream_service.seen["started"] == 1)
    living = StreamPool(SECRET, limits=Limits(heartbeat_every=0.1, dead_after=0.5))
    items = living.stream(address(server), "forever", None)
    await anext(items)
    await eventually(lambda: stream_service.seen["ended"] == 1)
    assert await living.call(address(server), "echo", 1) == 1
    assert stream_service.seen["ended"] == 1
    await items.aclose()
    await living.close()
    peer.sock.close()
