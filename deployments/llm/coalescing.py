"""Fewer, larger deltas: the first leaves at once, what follows it within a window leaves together."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from math import ceil

from domain.generation import Delta

SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.1
"""Less than one frame of a screen, and what still reads as flowing text."""
SECONDS_PER_GENERATION = 0.001
TICK_SECONDS = 0.01
"""Windows end on common ticks, so that what many generations have leaves in one write, and goes on as one."""


def window_of(running: int) -> float:
    """Seconds between two deltas when that many generations run: every delta costs four processes work, and under
    load the others' first tokens matter more than the smoothness of one stream."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, SECONDS_PER_GENERATION * running))


async def coalesced(deltas: AsyncGenerator[Delta, None], window: Callable[[], float]) -> AsyncGenerator[Delta, None]:
    """The same text, tokens and end; `window` is asked after every delta, in seconds.

    A failure comes after the text before it; closing this closes `deltas`.
    """
    waiting = _Waiting()
    reading = asyncio.get_running_loop().create_task(waiting.read(deltas))
    try:
        while True:
            await waiting.filled.wait()
            delta, failure, over = waiting.take()
            if delta is not None:
                yield delta
            if failure is not None:
                raise failure
            if over:
                return
            await asyncio.sleep(_until_tick(window()))
    finally:
        reading.cancel()
        await asyncio.wait((reading,))


def _until_tick(window: float) -> float:
    now = asyncio.get_running_loop().time()
    return ceil((now + window) / TICK_SECONDS) * TICK_SECONDS - now


class _Waiting:
    """What was read and has not left."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self._delta: Delta | None = None
        self._failure: Exception | None = None
        self._over = False

    async def read(self, deltas: AsyncGenerator[Delta, None]) -> None:
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    earlier = self._delta
                    self._delta = delta if earlier is None else _joined(earlier, delta)
                    self.filled.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the consumer raises it
            self._failure = error
        self._over = True
        self.filled.set()

    def take(self) -> tuple[Delta | None, Exception | None, bool]:
        """What there is, why it is the last, and whether it is the last; nothing is left afterwards."""
        delta, self._delta = self._delta, None
        if not self._over:
            self.filled.clear()
        return delta, self._failure, self._over


def _joined(earlier: Delta, later: Delta) -> Delta:
    return Delta(earlier.text + later.text, earlier.tokens + later.tokens, later.finish, later.usage)
