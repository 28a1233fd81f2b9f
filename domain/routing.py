"""What the routing policy knows about an engine replica when it orders candidates."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    """Attempts go through."""
    OPEN = "open"
    """Attempts failed lately: nothing goes through until the cool-down ends."""
    HALF_OPEN = "half_open"
    """The cool-down ended: one attempt may go through as a probe."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One live replica of an engine that serves the model."""

    engine: str
    address: str
    preference: int
    """Position of the engine in the model's list; 0 is preferred."""
    running: int
    queued: int
    """Generations running and waiting there, with those planned since its last report."""
    max_running: int
    max_queued: int
    breaker: BreakerState
    model: str = ""
    tier: int = 0
    """Position of the model among those that may answer; 0 is the one that was chosen for the question."""
    failing: float = 0.0
    """The part of its recent attempts that failed, 0 to 1."""
    ttft: float | None = None
    """Seconds to its first token, of late; None where nobody knows."""
    limited_seconds: float = 0.0
    """For how long its provider takes nothing more of this model."""

    @property
    def load(self) -> float:
        """Generations per place: 1.0 is a full replica with an empty queue."""
        return (self.running + self.queued) / max(1, self.max_running)

    @property
    def full(self) -> bool:
        """Whether one more generation would be refused."""
        return self.running + self.queued >= self.max_running + self.max_queued
