"""A token bucket: a burst at once, then a steady rate."""

import time
from collections.abc import Callable


class TokenBucket:
    """`burst` tokens to begin with, `per_second` more up to as many again; `clock` is in seconds."""

    __slots__ = ("_at", "_burst", "_clock", "_per_second", "_tokens")

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = self._tokens = burst
        self._per_second = per_second
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def remaining(self) -> int:
        """Whole tokens left by the last `take`."""
        return int(self._tokens)

    @property
    def wait_seconds(self) -> float:
        """From the last `take` until a token is there."""
        return max(0.0, 1 - self._tokens) / self._per_second if self._per_second else 60.0
