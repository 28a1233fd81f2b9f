"""Fewer, larger deltas: the first leaves at once, what follows it within a window leaves together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from domain.generation import Delta

WINDOW_SECONDS = 0.01
"""Less than one frame of a screen; every delta costs four processes work."""


async def coalesced(deltas: AsyncGenerator[Delta, None], window: float = WINDOW_SECONDS) -> AsyncGenerator[Delta, None]:
    """The same text, tokens and end. A failure comes after the text before it; closing this closes `deltas`."""
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
            await asyncio.sleep(window)
    finally:
        reading.cancel()
        await asyncio.wait((reading,))


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
