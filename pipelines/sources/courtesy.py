"""When a host may be asked again: after the delay that it wants and what its `Retry-After` says, within bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from domain.web_address import WebAddress
from storage.web import FetchFailed

ATTEMPTS = 3
"""Of one address."""
LONGEST = 120.0
"""Seconds; a host that asks for more is left alone for the rest of the run."""
LONGEST_TOGETHER = 600.0
"""Seconds of one run, over all that hosts ask for."""
USUAL = 5.0
"""Seconds, after "too many requests" without a word of when."""
LEFT_ALONE = "The site asks to be left alone for longer than a job waits; run it again later."
Pause = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Courtesy:
    """For one run over any hosts."""

    def __init__(self, pause: Pause = asyncio.sleep) -> None:
        self._pause = pause
        self._next: dict[str, float] = {}
        self._left_alone: set[str] = set()
        self._waited = 0.0

    async def ask(self, address: WebAddress, read: Callable[[], Awaitable[T]], delay: float = 0.0) -> T:
        """What `read` answers, in the host's turn; `delay` is for how long it is left alone afterwards, in seconds.

        Raises what `read` raises; a busy host is asked again. FetchFailed at once where it is left alone.
        """
        origin = f"{address.scheme}://{address.netloc}"
        for attempt in range(1, ATTEMPTS + 1):
            if origin in self._left_alone:
                raise FetchFailed(LEFT_ALONE)
            await self._turn(origin, delay)
            try:
                return await read()
            except FetchFailed as failure:
                if not self._may_wait(origin, failure) or attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _turn(self, origin: str, delay: float) -> None:
        now, ready = monotonic(), self._next.get(origin, 0.0)
        self._next[origin] = max(now, ready) + delay
        if ready > now:
            await self._pause(ready - now)

    def _may_wait(self, origin: str, failure: FetchFailed) -> bool:
        """Whether the host asks to come back, in a time that we have; if so, it is not asked before."""
        seconds = failure.retry_after
        if seconds is None:
            if failure.answered != 429:
                return False
            seconds = USUAL
        if seconds > LONGEST or self._waited + seconds > LONGEST_TOGETHER:
            self._left_alone.add(origin)
            return False
        self._waited += seconds
        self._next[origin] = max(self._next.get(origin, 0.0), monotonic() + seconds)
        return True
