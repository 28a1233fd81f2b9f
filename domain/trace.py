"""What a turn notes of itself: how long its stages took, and what was decided in them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StageTiming:
    name: str
    start: float
    """Seconds since the trace began."""
    seconds: float


@dataclass(slots=True)
class TurnTrace:
    """Kept in memory until the turn's end; writing to it waits for nothing."""

    began: float = field(default_factory=time.monotonic)
    stages: list[StageTiming] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, also when it fails; a stage may happen more than once, and inside another."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(StageTiming(name, start - self.began, time.monotonic() - start))

    def note(self, name: str, value: Any) -> None:
        """`value` can be written as JSON; a later one of the same name replaces it."""
        self.notes[name] = value
