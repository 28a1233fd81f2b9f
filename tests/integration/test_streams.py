"""Streams over real sockets: items, errors, cancellation, loss, strangers and slow readers."""

import asyncio
import contextvars
import socket
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from actors.streams import Limits, StreamPool, StreamServer
from actors.streams.codec import HEADER, Decoder, Kind, frame, pack
from actors.streams.handshake import client_proof, new_nonce
from domain.errors import AppError, NotFound, QuotaExceeded, RateLimited, TooLarge, Unavailable
from tests.fixtures.conditions import eventually

SECRET = "a secret of the test"
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Service:
    """Handlers that record what became of them."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.gate = asyncio.Event()

    def methods(self) -> dict[str, Callable[[Any], AsyncIterator[Any]]]:
        return {
            "count": self.count,
            "echo": self.echo,
            "forever": self.forever,
            "flood": self.flood,
            "fail": self.fail,
            "crash": self.crash,
            "gated": self.gated,
            "context": self.context,
            "unpackable": self.unpackable,
            "nothing": self.nothing,
            "huge": self.huge,
        }

    async def count(self, payload: Any) -> AsyncGenerator[Any, None]:
        for number in range(payload):
            yield number

    async def echo(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield payload

    async def forever(self, payload: Any) -> AsyncGenerator[Any, None]:
        self.seen["started"] += 1
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # a clean-up that needs the loop
            self.seen["ended"] += 1

    async def flood(self, payload: Any) -> AsyncGenerator[Any, None]:
        try:
            while True:
                self.seen["produced"] += 1
                yield b"x" * payload
        finally:
            self.seen["flood ended"] += 1

    async def fail(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield 1
        raise RateLimited("Slow down, please.", retry_after=2.5)

    async def crash(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield 1
        raise RuntimeError("the password is hunter2")

    async def gated(self, payload: Any) -> AsyncGenerator[Any, None]:
        self.seen["gated"] += 1
        await self.gate.wait()
        yield payload

    async def context(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield request_id.get()

    async def unpackable(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield object()

    async def nothing(self, payload: Any) -> AsyncGenerator[Any, None]:
        for item in ():
            yield item

    async def huge(self, payload: Any) -> AsyncGenerator[Any, None]:
        yield b"x" * payload


Open = Callable[..., Awaitable[StreamServer]]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def open_server(service: Service) -> AsyncIterator[Open]:
    servers: list[StreamServer] = []

    async def make(secret: str = SECRET, port: int = 0, limits: Limits | None = None) -> StreamServer:
        server = await StreamServer.open(service.methods(), secret=secret, host="127.0.0.1", port=port, limits=limits)
        servers.append(server)
        return server

    yield make
    for server in servers:
        await server.close()


@pytest.fixture
async def pool() -> AsyncIterator[StreamPool]:
    pool = StreamPool(SECRET)
    yield pool
    await pool.close()


def address(server: StreamServer) -> str:
    return f"127.0.0.1:{server.port}"


async def collect(items: AsyncGenerator[Any, None]) -> list[Any]:
    async with aclosing(items):
        return [item async for item in items]


async def test_items_arrive_in_order_and_the_stream_ends(open_server: Open, pool: StreamPool) -> None:
    here = address(await open_server())
    assert await collect(pool.stream(here, "count", 3)) == [0, 1, 2]
    assert await collect(pool.stream(here, "nothing", None)) == []


async def test_a_long_replay_does_not_overflow_a_reader_that_keeps_up(open_server: Open, pool: StreamPool) -> None:
    here = address(await open_server())
    assert await collect(pool.stream(here, "count", 50_000)) == list(range(50_000))


async def test_a_unary_call_returns_the_only_item(open_server: Open, pool: StreamPool) -> None:
    here = address(await open_server())
    payload = {"text": "ü", "list": [1, None, 2.5], "bytes": b"\x00", 3: True}
    assert await pool.call(here, "echo", payload) == payload
    with pytest.raises(TypeError):
        await pool.call(here, "count", 2)
    with pytest.raises(Unavailable, match="no answer"):
        await pool.call(here, "nothing", None)


async def test_remote_errors_are_rebuilt(open_server: Open, pool: StreamPool) -> None:
    here = address(await open_server())
    items = pool.stream(here, "fail", None)
    assert await anext(items) == 1
    with pytest.raises(RateLimited, match="Slow down, please") as caught:
        await anext(items)
    assert caught.value.retry_after == 2.5
    with pytest.raises(NotFound):
        await pool.call(here, "no such method", None)


@pytest.mark.parametrize("method", ["crash", "unpackable"])
async def test_an_unexpected_error_tells_nothing(open_server: Open, pool: StreamPool, method: str) -> None:
    here = address(await open_server())
    with pytest.raises(AppError) as caught:
        await collect(pool.stream(here, method, None))
    assert type(caught.value) is AppError
    assert caught.value.message == AppError.default
    assert await pool.call(here, "echo", 1) == 1


async def test_what_is_too_large_fails_alone(open_server: Open) -> None:
    limits = Limits(frame=1_000)
    here = address(await open_server(limits=limits))
    pool = StreamPool(SECRET, limits=limits)
    with pytest.raises(TooLarge):
        await pool.call(here, "huge", 1_001)
    with pytest.raises(TooLarge):
        await pool.call(here, "echo", "x" * 1_001)
    assert await pool.call(here, "huge", 900) == b"x" * 900
    assert await collect(pool.stream(here, "count", 5_000)) == list(range(5_000))  # split over frames
    await pool.close()


async def test_closing_the_generator_ends_the_producer(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server())
    async with aclosing(pool.stream(here, "forever", None)) as items:
        assert await anext(items) == "first"
        assert service.seen["ended"] == 0
    await eventually(lambda: service.seen["ended"] == 1)


async def test_cancelling_the_consumer_ends_the_producer(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server())
    task = asyncio.create_task(collect(pool.stream(here, "forever", None)))
    await eventually(lambda: service.seen["started"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: service.seen["ended"] == 1)
    assert await pool.call(here, "echo", "still connected") == "still connected"


async def test_a_forgotten_generator_ends_the_producer(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server())
    async for _ in pool.stream(here, "forever", None):
        break
    await eventually(lambda: service.seen["ended"] == 1)


async def test_cancelling_before_the_first_item(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server())
    await pool.stream(here, "gated", None).aclose()
    task = asyncio.create_task(pool.call(here, "gated", None))
    await eventually(lambda: service.seen["gated"] == 1)
    task.cancel()
    await asyncio.wait([task])
    assert await pool.call(here, "echo", 1) == 1
    assert service.seen["gated"] == 1


async def test_a_lost_connection_is_unavailable_and_the_next_use_reconnects(
    open_server: Open, pool: StreamPool, service: Service
) -> None:
    server = await open_server()
    items = pool.stream(address(server), "forever", None)
    assert await anext(items) == "first"
    await server.close()
    with pytest.raises(Unavailable):
        await anext(items)
    assert service.seen["ended"] == 1
    with pytest.raises(Unavailable, match="reached"):
        await pool.call(address(server), "echo", 1)
    again = await open_server(port=server.port)
    assert await pool.call(address(again), "echo", 1) == 1


async def test_a_client_that_goes_away_ends_its_producers(open_server: Open, service: Service) -> None:
    here = address(await open_server())
    pool = StreamPool(SECRET)
    streams = [pool.stream(here, "forever", None) for _ in range(5)]
    for items in streams:
        await anext(items)
    await pool.close()
    await eventually(lambda: service.seen["ended"] == 5)
    for items in streams:
        with pytest.raises(Unavailable):
            await anext(items)
    with pytest.raises(Unavailable, match="stopping"):
        await pool.call(here, "echo", 1)


async def test_concurrent_callers_share_one_connection(open_server: Open, pool: StreamPool) -> None:
    server = await open_server()
    answers = await asyncio.gather(*(pool.call(address(server), "echo", number) for number in range(50)))
    assert answers == list(range(50))
    assert len(server._links) == 1


async def test_a_caller_that_gives_up_connecting_does_not_spoil_it_for_others(
    open_server: Open, pool: StreamPool
) -> None:
    here = address(await open_server())
    first = asyncio.create_task(pool.call(here, "echo", 1))
    second = asyncio.create_task(pool.call(here, "echo", 2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert first.cancelled() or first.cancelling()


async def test_a_thousand_streams_at_once(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server())
    calls = [asyncio.create_task(pool.call(here, "gated", number)) for number in range(1_000)]
    await eventually(lambda: service.seen["gated"] == 1_000)
    service.gate.set()
    assert await asyncio.gather(*calls) == list(range(1_000))


async def test_streams_beyond_the_limit_are_refused(open_server: Open, pool: StreamPool, service: Service) -> None:
    here = address(await open_server(limits=Limits(streams=2)))
    held = [asyncio.create_task(pool.call(here, "gated", number)) for number in range(2)]
    await eventually(lambda: service.seen["gated"] == 2)
    with pytest.raises(RateLimited):
        await pool.call(here, "echo", 1)
    service.gate.set()
    assert await asyncio.gather(*held) == [0, 1]


async def test_handlers_do_not_see_the_context_of_any_request(open_server: Open, pool: StreamPool) -> None:
    token = request_id.set("someone's")
    try:
        assert await pool.call(address(await open_server()), "context", None) == "none"
    finally:
        request_id.reset(token)


async def test_a_wrong_secret_is_refused_by_both_sides(open_server: Open, service: Service) -> None:
    here = address(await open_server())
    stranger = StreamPool("another secret")
    with pytest.raises(Unavailable, match="refused"):
        await stranger.call(here, "echo", 1)
    await stranger.close()
    for secret in ("",):
        with pytest.raises(ValueError, match="secret"):
            StreamPool(secret)
        with pytest.raises(ValueError, match="secret"):
            await open_server(secret=secret)


async def test_an_impostor_server_gets_no_request(pool: StreamPool) -> None:
    received = bytearray()
    done = asyncio.Event()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Kind.HELLO, 0, pack([new_nonce()])))
        hello = await reader.readexactly(HEADER.size)
        await reader.readexactly(HEADER.unpack(hello)[0])
        writer.write(frame(Kind.HELLO, 0, pack([new_nonce()])))  # no proof of anything
        try:
            received.extend(await reader.read())
        except ConnectionError:
            pass
        writer.close()
        done.set()

    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    with pytest.raises(Unavailable, match="refused"):
        await pool.call(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "echo", "confidential")
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
async def test_strangers_are_closed_without_harm_to_others(open_server: Open, pool: StreamPool, data: bytes) -> None:
    server = await open_server()
    items = pool.stream(address(server), "forever", None)
    await anext(items)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    assert await closed_by_peer(reader)
    writer.close()
    assert await pool.call(address(server), "echo", 1) == 1
    await items.aclose()


async def closed_by_peer(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass
    return True


async def test_silent_strangers_are_closed_and_counted(open_server: Open, pool: StreamPool) -> None:
    server = await open_server(limits=Limits(hello_within=0.3, greeting_peers=3))
    strangers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    for reader, writer in strangers:
        assert await closed_by_peer(reader)
        writer.close()
    assert await pool.call(address(server), "echo", 1) == 1


class Peer:
    """A client by hand, that has proved itself and reads only when asked."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = Decoder(1 << 24)

    @classmethod
    async def connect(cls, port: int, receive_buffer: int = 65_536) -> "Peer":
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        self = cls(sock)
        _, _, (theirs,) = await self.next()
        ours = new_nonce()
        await self.send(frame(Kind.HELLO, 0, pack([ours, client_proof(SECRET.encode(), theirs, ours)])))
        assert (await self.next())[0] == Kind.HELLO
        return self

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self) -> bytes:
        async with asyncio.timeout(10):
            try:
                return await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
            except ConnectionError:
                return b""

    async def next(self) -> tuple[int, int, Any]:
        while (found := self.decoder.next()) is None:
            data = await self.receive()
            assert data, "closed"
            self.decoder.feed(data)
        return found


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
async def test_bad_frames_of_a_peer_close_only_its_connection(open_server: Open, pool: StreamPool, data: bytes) -> None:
    server = await open_server()
    items = pool.stream(address(server), "forever", None)
    await anext(items)
    peer = await Peer.connect(server.port)
    await peer.send(data)
    while await peer.receive():
        pass
    peer.sock.close()
    assert await pool.call(address(server), "echo", 1) == 1
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


async def test_cancels_of_unknown_streams_are_ignored(open_server: Open) -> None:
    server = await open_server()
    peer = await Peer.connect(server.port)
    await peer.send(frame(Kind.CANCEL, 5) + frame(Kind.PING, 0) + frame(Kind.OPEN, 6, pack(["echo", "x"])))
    assert await peer.next() == (Kind.ITEMS, 6, ["x"])
    assert await peer.next() == (Kind.END, 6, None)
    peer.sock.close()


async def test_all_streams_of_one_tick_leave_in_one_write(
    open_server: Open, pool: StreamPool, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await open_server()
    calls = [asyncio.create_task(pool.call(address(server), "gated", number)) for number in range(20)]
    await eventually(lambda: service.seen["gated"] == 20)
    (link,) = server._links
    writes: list[bytes] = []
    write = link._transport.write

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            writes.append(data)
            write(data)

    transport = link._transport
    monkeypatch.setattr(link, "_transport", Recorder())
    service.gate.set()
    await asyncio.gather(*calls)
    decoder = Decoder(1 << 20)
    decoder.feed(writes[0])
    kinds = Counter(iter(lambda: (decoder.next() or (None,))[0], None))
    assert (len(writes), kinds) == (1, {Kind.ITEMS: 20, Kind.END: 20})


async def test_a_consumer_that_falls_behind_is_cancelled_alone(open_server: Open, service: Service) -> None:
    here = address(await open_server())
    pool = StreamPool(SECRET, limits=Limits(queue_items=100))
    slow = pool.stream(here, "flood", 10)
    assert await anext(slow) == b"x" * 10
    await eventually(lambda: service.seen["flood ended"] == 1)
    received = 1
    with pytest.raises(Unavailable, match="fell behind"):
        async for _ in slow:
            received += 1
    assert received <= 101
    assert await pool.call(here, "echo", 1) == 1
    await pool.close()


async def test_a_peer_that_does_not_read_pauses_the_producer_and_is_dropped(
    open_server: Open, pool: StreamPool, service: Service
) -> None:
    limits = Limits(write_high=64 * 1024, stuck_after=1.0)
    server = await open_server(limits=limits)
    peer = await Peer.connect(server.port, receive_buffer=4_096)
    await peer.send(frame(Kind.OPEN, 1, pack(["flood", 1_000])))
    await eventually(lambda: any(link._paused for link in server._links))
    (link,) = server._links
    produced = service.seen["produced"]
    assert await pool.call(address(server), "echo", 1) == 1  # others go on
    assert link._transport.get_write_buffer_size() < 4 * limits.write_high
    assert service.seen["produced"] == produced
    await eventually(lambda: service.seen["flood ended"] == 1)
    peer.sock.close()


async def test_a_peer_that_asks_and_never_reads_is_dropped(open_server: Open) -> None:
    server = await open_server(limits=Limits(write_max=100_000))
    peer = await Peer.connect(server.port, receive_buffer=4_096)
    unknown = b"".join(frame(Kind.OPEN, stream, pack(["no such method", None])) for stream in range(2_000))
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            while True:
                await peer.send(unknown)
    peer.sock.close()


async def test_a_silent_peer_is_dropped_and_a_living_one_is_not(
    open_server: Open, pool: StreamPool, service: Service
) -> None:
    server = await open_server(limits=Limits(heartbeat_every=0.1, dead_after=0.5))
    peer = await Peer.connect(server.port)
    await peer.send(frame(Kind.OPEN, 1, pack(["forever", None])))
    await eventually(lambda: service.seen["started"] == 1)
    living = StreamPool(SECRET, limits=Limits(heartbeat_every=0.1, dead_after=0.5))
    items = living.stream(address(server), "forever", None)
    await anext(items)
    await eventually(lambda: service.seen["ended"] == 1)
    assert await living.call(address(server), "echo", 1) == 1
    assert service.seen["ended"] == 1
    await items.aclose()
    await living.close()
    peer.sock.close()


@pytest.mark.parametrize("wrong", ["", "nowhere", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999999", "127.0.0.1:1"])
async def test_a_useless_address_is_unavailable(pool: StreamPool, wrong: str) -> None:
    with pytest.raises(Unavailable):
        await pool.call(wrong, "echo", 1)


async def test_errors_of_the_tree_keep_their_type(pool: StreamPool) -> None:
    async def refuse(payload: Any) -> AsyncGenerator[Any, None]:
        raise QuotaExceeded
        yield

    server = await StreamServer.open({"refuse": refuse}, secret=SECRET, host="127.0.0.1")
    with pytest.raises(QuotaExceeded):
        await pool.call(address(server), "refuse", None)
    await server.close()
