"""Joined deltas: nothing lost, the first at once, failures after the text, and the end reaches the engine."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.llm.coalescing import coalesced, window_of
from domain.errors import EngineFailed
from domain.generation import Delta, FinishReason, Usage

END = Delta("", 0, FinishReason.STOP, Usage(3, 4))


async def test_the_first_leaves_at_once_and_the_rest_together() -> None:
    more = asyncio.Event()

    async def deltas() -> AsyncGenerator[Delta, None]:
        yield Delta("a", 1)
        await more.wait()
        yield Delta("b", 1)
        yield Delta("c", 2)
        yield END

    stream = coalesced(deltas(), lambda: 0.0)
    assert await anext(stream) == Delta("a", 1)
    more.set()
    assert [delta async for delta in stream] == [Delta("bc", 3, FinishReason.STOP, Usage(3, 4))]


async def test_a_failure_comes_after_the_text_before_it() -> None:
    async def deltas() -> AsyncGenerator[Delta, None]:
        yield Delta("a", 1)
        yield Delta("b", 1)
        raise EngineFailed

    stream = coalesced(deltas(), lambda: 0.0)
    assert await anext(stream) == Delta("ab", 2)
    with pytest.raises(EngineFailed):
        await anext(stream)


async def test_who_leaves_ends_the_generation() -> None:
    closed = asyncio.Event()

    async def deltas() -> AsyncGenerator[Delta, None]:
        try:
            yield Delta("a", 1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    stream = coalesced(deltas(), lambda: 0.0)
    assert await anext(stream) == Delta("a", 1)
    await stream.aclose()
    assert closed.is_set()


async def test_a_cancelled_reader_ends_the_generation() -> None:
    closed, begun = asyncio.Event(), asyncio.Event()

    async def deltas() -> AsyncGenerator[Delta, None]:
        try:
            begun.set()
            await asyncio.Event().wait()
            yield END
        finally:
            closed.set()

    reading = asyncio.ensure_future(anext(coalesced(deltas(), lambda: 0.0)))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed.is_set()


def test_the_window_grows_with_the_load_within_bounds() -> None:
    assert [window_of(running) for running in (1, 10, 64, 1000)] == [0.01, 0.01, 0.064, 0.1]
