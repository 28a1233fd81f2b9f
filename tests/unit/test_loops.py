"""Loops outlive errors, and end when they are cancelled, even where something swallows it once."""

import asyncio

from actors.loops import repeat


async def test_a_loop_outlives_errors() -> None:
    rounds = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            enough.set()
        raise ValueError("a bad round")

    task = asyncio.create_task(repeat("test", work, 0))
    await asyncio.wait_for(enough.wait(), 10)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_a_swallowed_cancellation_ends_it_all_the_same() -> None:
    begun = asyncio.Event()
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(repeat("test", work, 0))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert rounds == 1
