"""What the checks of a turn found, for its record: names, scores and counts, never text."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Place = Literal["input", "retrieved", "output"]
Outcome = Literal["noted", "flagged", "redacted", "dropped", "blocked", "failed", "late"]
Verdict = Literal["flagged", "redacted", "blocked"]
REVIEWED = ("flagged", "dropped", "blocked")
"""Outcomes that a person looks at."""


@dataclass(frozen=True, slots=True)
class GuardNote:
    place: Place
    check: str
    outcome: Outcome
    score: float = 1.0
    count: int = 1
    failure: str = ""
    """Name of the error, of a check that failed."""


@dataclass(slots=True)
class GuardReport:
    count: Callable[[str, str, str], None] | None = None
    notes: list[GuardNote] = field(default_factory=list)

    def add(self, note: GuardNote) -> None:
        self.notes.append(note)
        if self.count is not None:
            self.count(note.check, note.place, note.outcome)

    @property
    def verdict(self) -> Verdict | None:
        """The gravest outcome, as the reader learns it."""
        outcomes = {note.outcome for note in self.notes}
        if "blocked" in outcomes:
            return "blocked"
        if "redacted" in outcomes:
            return "redacted"
        return "flagged" if outcomes & {"flagged", "dropped"} else None

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(note) for note in self.notes]
