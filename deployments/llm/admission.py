"""Bounded concurrency with a bounded queue: what does not fit is refused at once rather than kept waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import RateLimited


class Admission:
    """`max_running` at the same time and `max_queued` waiting, first come first served."""

    def __init__(self, max_running: int, max_queued: int) -> None:
        self._places = asyncio.Semaphore(max_running)
        self._max_queued = max_queued
        self.running = 0
        self.queued = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises RateLimited when the queue is full."""
        if self._places.locked() and self.queued >= self._max_queued:
            raise RateLimited("The language model is busy; try again in a moment.", retry_after=2.0)
        self.queued += 1
        try:
            await self._places.acquire()
        finally:
            self.queued -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
