"""How the attempts at each replica have ended of late: how often they failed, and how soon they began to answer."""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

WEIGHT = 0.1
"""Of one attempt in the averages."""
HALF_LIFE_SECONDS = 20.0
"""Failures are forgiven by half in this time, so that a replica that nobody asks for them is asked again."""
STALE_SECONDS = 120.0
"""A time to first token that is older says nothing."""
MOST_COUNTED = 1_000

Place = tuple[str, str]
"""Engine and address."""


@dataclass(slots=True)
class _Record:
    failing: float = 0.0
    failing_at: float = 0.0
    ttft: float | None = None
    ttft_at: float = 0.0


class History:
    """Exponentially weighted averages. Not thread-safe; the clock is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[Place, _Record] = {}

    def record(self, place: Place, succeeded: int = 0, failed: int = 0, ttft: float | None = None) -> None:
        """`succeeded` attempts and then `failed` ones; `ttft` is their mean, in seconds."""
        now = self._clock()
        record = self._records.setdefault(place, _Record())
        average = self._faded(record, now)
        for value, count in ((0.0, succeeded), (1.0, failed)):
            average = value + (average - value) * (1 - WEIGHT) ** min(max(count, 0), MOST_COUNTED)
        record.failing, record.failing_at = average, now
        if ttft is not None and 0 <= ttft < STALE_SECONDS:
            fresh = record.ttft is None or now - record.ttft_at > STALE_SECONDS
            share = 1.0 if fresh else 1 - (1 - WEIGHT) ** min(max(succeeded, 1), MOST_COUNTED)
            record.ttft = ttft if record.ttft is None else record.ttft + (ttft - record.ttft) * share
            record.ttft_at = now

    def forgive(self, place: Place) -> None:
        """It failed so often that it was left alone, and is well again."""
        if record := self._records.get(place):
            record.failing = 0.0

    def failing(self, place: Place) -> float:
        """The part of attempts that fail, 0 to 1."""
        record = self._records.get(place)
        return self._faded(record, self._clock()) if record else 0.0

    def ttft(self, place: Place) -> float | None:
        """Seconds to the first token; None where nobody knows, or not of late."""
        record = self._records.get(place)
        return record.ttft if record and self._clock() - record.ttft_at <= STALE_SECONDS else None

    def forget_absent(self, present: Collection[Place]) -> None:
        for place in [place for place in self._records if place not in present]:
            del self._records[place]

    @staticmethod
    def _faded(record: _Record, now: float) -> float:
        return record.failing * math.pow(0.5, max(0.0, now - record.failing_at) / HALF_LIFE_SECONDS)
