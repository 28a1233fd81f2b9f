"""Admission holds so many, lets so many wait in order with a position, and refuses the rest."""

import asyncio

import pytest

from deployments.llm.admission import Admission
from domain.errors import RateLimited


async def positions(admission: Admission, heard: list[int], seconds: float = 5.0) -> None:
    """Wait for a place, and give it back at once."""
    with admission.place() as place:
        async for position in place.waiting(seconds):
            heard.append(position)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_does_not_fit_is_refused_and_places_come_back() -> None:
    admission, heard = Admission(max_running=1, max_queued=1), list[int]()
    with admission.place() as place:
        assert place.position == 0
        waiting = asyncio.create_task(positions(admission, heard))
        await settle()
        assert (admission.running, admission.queued, heard) == (1, 1, [1])
        with pytest.raises(RateLimited):
            await positions(admission, [])
    await waiting
    assert heard == [1, 0]
    assert (admission.running, admission.queued) == (0, 0)
    nothing: list[int] = []
    await positions(admission, nothing)
    assert nothing == []


async def test_who_waits_moves_up_in_order() -> None:
    admission, heard = Admission(max_running=1, max_queued=3), [list[int]() for _ in range(3)]
    with admission.place():
        waiting = [asyncio.create_task(positions(admission, one)) for one in heard]
        await settle()
        waiting[0].cancel()
        await settle()
        assert heard == [[1], [2, 1], [3, 2]]
        assert (admission.running, admission.queued) == (1, 2)
    await asyncio.gather(*waiting[1:])
    assert [[one[0], one[-1]] for one in heard] == [[1, 1], [2, 0], [3, 0]]
    assert (admission.running, admission.queued) == (0, 0)


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    admission = Admission(max_running=1, max_queued=3)
    with admission.place():
        with pytest.raises(RateLimited):
            await positions(admission, [], seconds=0.01)
        assert (admission.running, admission.queued) == (1, 0)


async def test_a_freed_place_is_taken_by_who_waits_and_not_by_who_comes() -> None:
    admission = Admission(max_running=1, max_queued=3)
    with admission.place():
        waiting = asyncio.create_task(positions(admission, []))
        await settle()
    with admission.place() as late:
        assert late.position == 1
        assert admission.running == 1
    await waiting
