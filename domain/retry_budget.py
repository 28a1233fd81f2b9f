"""How many more attempts a process may make than it has turns: what fails everywhere must not get twice the load."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryRules:
    share: float = 0.2
    """Of turns that may need one more attempt in the long run."""
    per_second: float = 5.0
    """Attempts besides, so that little traffic can fail over as well."""
    burst: float = 128.0
    """Attempts at once, as when a replica dies under many turns; also the most that can be saved up."""


class RetryBudget:
    """A token bucket that turns fill and further attempts empty; `clock` is monotonic seconds.

    Source: the retry budgets of Finagle, https://twitter.github.io/finagle/guide/Clients.html#retries.
    """

    __slots__ = ("_at", "_clock", "_rules", "_tokens")

    def __init__(self, rules: RetryRules | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules or RetryRules()
        self._clock = clock
        self._at = clock()
        self._tokens = self._rules.burst

    def turn(self) -> None:
        """A turn begins its first attempt."""
        self._tokens = min(self._rules.burst, self._tokens + self._rules.share)

    def take(self) -> bool:
        """Whether one more attempt may be made."""
        now = self._clock()
        self._tokens = min(self._rules.burst, self._tokens + max(0.0, now - self._at) * self._rules.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
