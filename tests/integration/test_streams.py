"""Streams over real sockets: items, errors, cancellation, loss and readers that fall behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from actors.streams import Limits, StreamPool, StreamServer
from actors.streams.codec import Decoder, Kind
from domain.errors import AppError, NotFound, QuotaExceeded, RateLimited, TooLarge, Unavailable
from tests.fixtures.conditions import eventually
from tests.fixtures.streams import SECRET, OpenServer, StreamService, address, collect, request_id


async def test_items_arrive_in_order_and_the_stream_ends(
    open_stream_server: OpenServer, stream_pool: StreamPool
) -> None:
    here = address(await open_stream_server())
    assert await collect(stream_pool.stream(here, "count", 3)) == [0, 1, 2]
    assert await collect(stream_pool.stream(here, "nothing", None)) == []


async def test_a_long_replay_does_not_overflow_a_reader_that_keeps_up(
    open_stream_server: OpenServer, stream_pool: StreamPool
) -> None:
    here = address(await open_stream_server())
    assert await collect(stream_pool.stream(here, "count", 50_000)) == list(range(50_000))


async def test_a_unary_call_returns_the_only_item(open_stream_server: OpenServer, stream_pool: StreamPool) -> None:
    here = address(await open_stream_server())
    payload = {"text": "ü", "list": [1, None, 2.5], "bytes": b"\x00", 3: True}
    assert await stream_pool.call(here, "echo", payload) == payload
    with pytest.raises(TypeError):
        await stream_pool.call(here, "count", 2)
    with pytest.raises(Unavailable, match="no answer"):
        await stream_pool.call(here, "nothing", None)


async def test_remote_errors_are_rebuilt(open_stream_server: OpenServer, stream_pool: StreamPool) -> None:
    here = address(await open_stream_server())
    items = stream_pool.stream(here, "fail", None)
    assert await anext(items) == 1
    with pytest.raises(RateLimited, match="Slow down, please") as caught:
        await anext(items)
    assert caught.value.retry_after == 2.5
    with pytest.raises(NotFound):
        await stream_pool.call(here, "no such method", None)


@pytest.mark.parametrize("method", ["crash", "unpackable"])
async def test_an_unexpected_error_tells_nothing(
    open_stream_server: OpenServer, stream_pool: StreamPool, method: str
) -> None:
    here = address(await open_stream_server())
    with pytest.raises(AppError) as caught:
        await collect(stream_pool.stream(here, method, None))
    assert type(caught.value) is AppError
    assert caught.value.message == AppError.default
    assert await stream_pool.call(here, "echo", 1) == 1


async def test_what_is_too_large_fails_alone(open_stream_server: OpenServer) -> None:
    limits = Limits(frame=1_000)
    here = address(await open_stream_server(limits=limits))
    pool = StreamPool(SECRET, limits=limits)
    with pytest.raises(TooLarge):
        await pool.call(here, "huge", 1_001)
    with pytest.raises(TooLarge):
        await pool.call(here, "echo", "x" * 1_001)
    assert await pool.call(here, "huge", 900) == b"x" * 900
    assert await collect(pool.stream(here, "count", 5_000)) == list(range(5_000))  # split over frames
    await pool.close()


async def test_closing_the_generator_ends_the_producer(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    async with aclosing(stream_pool.stream(here, "forever", None)) as items:
        assert await anext(items) == "first"
        assert stream_service.seen["ended"] == 0
    await eventually(lambda: stream_service.seen["ended"] == 1)


async def test_cancelling_the_consumer_ends_the_producer(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    task = asyncio.create_task(collect(stream_pool.stream(here, "forever", None)))
    await eventually(lambda: stream_service.seen["started"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: stream_service.seen["ended"] == 1)
    assert await stream_pool.call(here, "echo", "still connected") == "still connected"


async def test_a_forgotten_generator_ends_the_producer(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    async for _ in stream_pool.stream(here, "forever", None):
        break
    await eventually(lambda: stream_service.seen["ended"] == 1)


async def test_cancelling_before_the_first_item(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    await stream_pool.stream(here, "gated", None).aclose()
    task = asyncio.create_task(stream_pool.call(here, "gated", None))
    await eventually(lambda: stream_service.seen["gated"] == 1)
    task.cancel()
    await asyncio.wait([task])
    assert await stream_pool.call(here, "echo", 1) == 1
    assert stream_service.seen["gated"] == 1


async def test_a_lost_connection_is_unavailable_and_the_next_use_reconnects(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    server = await open_stream_server()
    items = stream_pool.stream(address(server), "forever", None)
    assert await anext(items) == "first"
    await server.close()
    with pytest.raises(Unavailable):
        await anext(items)
    assert stream_service.seen["ended"] == 1
    with pytest.raises(Unavailable, match=r"lost|reached"):
        await stream_pool.call(address(server), "echo", 1)
    again = await open_stream_server(port=server.port)
    assert await stream_pool.call(address(again), "echo", 1) == 1


async def test_a_client_that_goes_away_ends_its_producers(
    open_stream_server: OpenServer, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    pool = StreamPool(SECRET)
    streams = [pool.stream(here, "forever", None) for _ in range(5)]
    for items in streams:
        await anext(items)
    await pool.close()
    await eventually(lambda: stream_service.seen["ended"] == 5)
    for items in streams:
        with pytest.raises(Unavailable):
            await anext(items)
    with pytest.raises(Unavailable, match="stopping"):
        await pool.call(here, "echo", 1)


async def test_concurrent_callers_share_one_connection(open_stream_server: OpenServer, stream_pool: StreamPool) -> None:
    server = await open_stream_server()
    answers = await asyncio.gather(*(stream_pool.call(address(server), "echo", number) for number in range(50)))
    assert answers == list(range(50))
    assert len(server._links) == 1


async def test_a_caller_that_gives_up_connecting_does_not_spoil_it_for_others(
    open_stream_server: OpenServer, stream_pool: StreamPool
) -> None:
    here = address(await open_stream_server())
    first = asyncio.create_task(stream_pool.call(here, "echo", 1))
    second = asyncio.create_task(stream_pool.call(here, "echo", 2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert first.cancelled() or first.cancelling()


async def test_a_thousand_streams_at_once(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    calls = [asyncio.create_task(stream_pool.call(here, "gated", number)) for number in range(1_000)]
    await eventually(lambda: stream_service.seen["gated"] == 1_000)
    stream_service.gate.set()
    assert await asyncio.gather(*calls) == list(range(1_000))


async def test_streams_beyond_the_limit_are_refused(
    open_stream_server: OpenServer, stream_pool: StreamPool, stream_service: StreamService
) -> None:
    here = address(await open_stream_server(limits=Limits(streams=2)))
    held = [asyncio.create_task(stream_pool.call(here, "gated", number)) for number in range(2)]
    await eventually(lambda: stream_service.seen["gated"] == 2)
    with pytest.raises(RateLimited):
        await stream_pool.call(here, "echo", 1)
    stream_service.gate.set()
    assert await asyncio.gather(*held) == [0, 1]


async def test_handlers_do_not_see_the_context_of_any_request(
    open_stream_server: OpenServer, stream_pool: StreamPool
) -> None:
    token = request_id.set("someone's")
    try:
        assert await stream_pool.call(address(await open_stream_server()), "context", None) == "none"
    finally:
        request_id.reset(token)


async def test_all_streams_of_one_tick_leave_in_one_write(
    open_stream_server: OpenServer,
    stream_pool: StreamPool,
    stream_service: StreamService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = await open_stream_server()
    calls = [asyncio.create_task(stream_pool.call(address(server), "gated", number)) for number in range(20)]
    await eventually(lambda: stream_service.seen["gated"] == 20)
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
    stream_service.gate.set()
    await asyncio.gather(*calls)
    decoder = Decoder(1 << 20)
    decoder.feed(writes[0])
    kinds = Counter(iter(lambda: (decoder.next() or (None,))[0], None))
    assert (len(writes), kinds) == (1, {Kind.ITEMS: 20, Kind.END: 20})


async def test_a_consumer_that_falls_behind_is_cancelled_alone(
    open_stream_server: OpenServer, stream_service: StreamService
) -> None:
    here = address(await open_stream_server())
    pool = StreamPool(SECRET, limits=Limits(queue_items=100))
    slow = pool.stream(here, "flood", 10)
    assert await anext(slow) == b"x" * 10
    await eventually(lambda: stream_service.seen["flood ended"] == 1)
    for _ in range(99):
        assert await anext(slow) == b"x" * 10
    with pytest.raises(Unavailable, match="fell behind"):
        await anext(slow)
    assert await pool.call(here, "echo", 1) == 1
    await pool.close()


@pytest.mark.parametrize("wrong", ["", "nowhere", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999999", "127.0.0.1:1"])
async def test_a_useless_address_is_unavailable(stream_pool: StreamPool, wrong: str) -> None:
    with pytest.raises(Unavailable):
        await stream_pool.call(wrong, "echo", 1)


async def test_errors_of_the_tree_keep_their_type(stream_pool: StreamPool) -> None:
    async def refuse(payload: Any) -> AsyncGenerator[Any, None]:
        raise QuotaExceeded
        yield

    server = await StreamServer.open({"refuse": refuse}, secret=SECRET, host="127.0.0.1")
    with pytest.raises(QuotaExceeded):
        await stream_pool.call(address(server), "refuse", None)
    await server.close()
