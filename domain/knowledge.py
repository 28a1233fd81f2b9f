"""The generations of a bot's knowledge: tables of the same documents, each made with its own model and chunking."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Which of a bot's tables answers."""

    generation: int = 0
    model: str = ""
    """The embedding model of its vectors; empty for the platform's."""


FIRST = Knowledge()


class GenerationState(StrEnum):
    BUILDING = "building"
    READY = "ready"
    """Complete, compared, and waiting to be switched to; kept in step with the documents."""
    LIVE = "live"
    RETIRED = "retired"
    """It was live before and is kept in step, so that there is a way back."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    REMOVED = "removed"
    """It was retired for as long as it is kept."""
