"""Bounded concurrency with a bounded queue: what does not fit is refused at once, what waits knows its position."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from domain.errors import RateLimited

BUSY = "The language model is busy; try again in a moment."
RETRY_SECONDS = 2.0
TOLD_POSITIONS = 20
"""Further back only every tenth place is told, as in `actors.fair_share`."""


class Place:
    """Of one generation: running, or waiting at `position`."""

    def __init__(self, position: int) -> None:
        self.position = position
        """From 1 while it waits; 0 when it runs."""
        self._moved = asyncio.Event()

    async def waiting(self, longest_seconds: float) -> AsyncGenerator[int, None]:
        """The positions that it takes, as they change, and 0 at last; nothing when it runs from the beginning.

        Raises RateLimited when it waits for longer than that.
        """
        due = asyncio.get_running_loop().time() + longest_seconds
        told = 0
        while self.position:
            if self.position != told and (not told or self.position <= TOLD_POSITIONS or self.position % 10 == 0):
                told = self.position
                yield told
            if not self.position:
                break
            self._moved.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._moved.wait()
            except TimeoutError:
                if self.position:
                    raise RateLimited(BUSY, retry_after=RETRY_SECONDS) from None
        if told:
            yield 0

    def move(self, position: int) -> None:
        self.position = position
        self._moved.set()


class Admission:
    """`max_running` at the same time and `max_queued` waiting, first come first served."""

    def __init__(self, max_running: int, max_queued: int) -> None:
        self._max_running = max_running
        self._max_queued = max_queued
        self._queue: deque[Place] = deque()
        self.running = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Hold a place, at first perhaps one in the queue. Raises RateLimited when the queue is full."""
        place = self._enter()
        try:
            yield place
        finally:
            self._leave(place)

    def _enter(self) -> Place:
        if self.running < self._max_running:
            self.running += 1
            return Place(0)
        if len(self._queue) >= self._max_queued:
            raise RateLimited(BUSY, retry_after=RETRY_SECONDS)
        place = Place(len(self._queue) + 1)
        self._queue.append(place)
        return place

    def _leave(self, place: Place) -> None:
        if place.position:
            self._queue.remove(place)
        elif self._queue:
            self._queue.popleft().move(0)
        else:
            self.running -= 1
            return
        for position, one in enumerate(self._queue, 1):
            if one.position != position:
                one.move(position)
