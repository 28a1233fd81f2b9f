"""Circuit breakers: a replica that keeps failing is left alone for a while, then probed with one attempt."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from domain.routing import BreakerState

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class BreakerRules:
    failures_to_open: int = 3
    """Failures in a row."""
    cool_down_seconds: float = 5.0
    """Doubled with every failed probe, up to the longest."""
    longest_cool_down_seconds: float = 60.0
    probe_seconds: float = 20.0
    """How long a probe may stay unreported before another may start."""


class Breaker:
    """The state of one replica. Not thread-safe; the clock is monotonic seconds."""

    def __init__(self, rules: BreakerRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._failures = 0
        self._cool_down = rules.cool_down_seconds
        self._open_until: float | None = None
        self._probe_until = 0.0

    @property
    def state(self) -> BreakerState:
        """OPEN also while a probe is under way: nobody else may join it."""
        if self._open_until is None:
            return BreakerState.CLOSED
        now = self._clock()
        waiting = now < self._open_until or now < self._probe_until
        return BreakerState.OPEN if waiting else BreakerState.HALF_OPEN

    def start_probe(self) -> None:
        """Take the one place of a half-open breaker; without effect in another state."""
        if self.state is BreakerState.HALF_OPEN:
            self._probe_until = self._clock() + self._rules.probe_seconds

    def record(self, ok: bool) -> None:
        """Note how an attempt ended."""
        if ok:
            self._failures, self._open_until, self._probe_until = 0, None, 0.0
            self._cool_down = self._rules.cool_down_seconds
            return
        self._failures += 1
        now = self._clock()
        if self._open_until is not None:
            if now < self._open_until:
                return  # an attempt that began before the breaker opened says nothing new
            self._cool_down = min(self._cool_down * 2, self._rules.longest_cool_down_seconds)
        elif self._failures < self._rules.failures_to_open:
            return
        self._open_until, self._probe_until = now + self._cool_down, 0.0


class BreakerBoard:
    """One breaker per (engine, address)."""

    def __init__(self, rules: BreakerRules | None = None, clock: Clock = time.monotonic) -> None:
        self._rules = rules or BreakerRules()
        self._clock = clock
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def state(self, engine: str, address: str) -> BreakerState:
        breaker = self._breakers.get((engine, address))
        return breaker.state if breaker else BreakerState.CLOSED

    def start_probe(self, engine: str, address: str) -> None:
        if breaker := self._breakers.get((engine, address)):
            breaker.start_probe()

    def record(self, engine: str, address: str, ok: bool) -> None:
        key = (engine, address)
        if key not in self._breakers:
            if ok:
                return
            self._breakers[key] = Breaker(self._rules, self._clock)
        self._breakers[key].record(ok)
        if ok:
            del self._breakers[key]

    def forget_absent(self, present: Collection[tuple[str, str]]) -> None:
        """Drop the closed breakers of replicas that left, so that the board stays as small as the cluster."""
        for key, breaker in list(self._breakers.items()):
            if key not in present and breaker.state is not BreakerState.OPEN:
                del self._breakers[key]
