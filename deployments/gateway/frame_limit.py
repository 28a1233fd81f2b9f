"""Bounds how fast one socket may send frames."""

import time
from collections.abc import Callable

from domain.token_bucket import TokenBucket

PER_SECOND = 20.0
BURST = 60.0
MAX_REFUSALS = 200
"""Frames refused in a row after which the socket is closed."""


class FrameLimit:
    __slots__ = ("_bucket", "_refused")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = TokenBucket(BURST, PER_SECOND, clock)
        self._refused = 0

    def allow(self) -> bool:
        """Take one token; False when there is none."""
        allowed = self._bucket.take()
        self._refused = 0 if allowed else self._refused + 1
        return allowed

    @property
    def abused(self) -> bool:
        """Whether the client goes on and on in spite of refusals."""
        return self._refused > MAX_REFUSALS
