"""Admission holds so many, lets so many wait in order, and refuses the rest."""

import asyncio

import pytest

from deployments.llm.admission import Admission
from domain.errors import RateLimited


async def test_what_does_not_fit_is_refused_and_places_come_back() -> None:
    admission = Admission(max_running=1, max_queued=1)
    order: list[str] = []

    async def take(name: str) -> None:
        async with admission.place():
            order.append(name)

    async with admission.place():
        waiting = asyncio.create_task(take("second"))
        await asyncio.sleep(0)
        assert (admission.running, admission.queued) == (1, 1)
        with pytest.raises(RateLimited):
            await take("third")
    await waiting
    await take("fourth")
    assert order == ["second", "fourth"]
    assert (admission.running, admission.queued) == (0, 0)


async def test_someone_who_gives_up_waiting_leaves_no_trace() -> None:
    admission = Admission(max_running=1, max_queued=5)
    async with admission.place():
        waiting = asyncio.create_task(admission.place().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (admission.running, admission.queued) == (1, 0)
    async with admission.place():
        assert admission.running == 1
