"""A token bucket that bounds how fast one socket may send frames."""

import time
from collections.abc import Callable

PER_SECOND = 20.0
BURST = 60.0
MAX_REFUSALS = 200
"""Frames refused in a row after which the socket is closed."""


class FrameLimit:
    __slots__ = ("_at", "_clock", "_refused", "_tokens")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = BURST
        self._at = clock()
        self._refused = 0

    def allow(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) * PER_SECOND)
        self._at = now
        if self._tokens < 1:
            self._refused += 1
            return False
        self._tokens -= 1
        self._refused = 0
        return True

    @property
    def abused(self) -> bool:
        """Whether the client goes on and on in spite of refusals."""
        return self._refused > MAX_REFUSALS
