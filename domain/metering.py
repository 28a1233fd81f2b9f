"""What a turn's calls of models use: reserved before, recorded one by one, and summed for the ledger."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from domain.generation import Usage


class CallKind(StrEnum):
    ANSWER = "answer"
    RETRY = "retry"
    """An attempt that failed."""
    HEDGE = "hedge"
    """The one of two attempts side by side that lost."""
    SUMMARY = "summary"
    GUARD = "guard"
    EMBEDDING = "embedding"
    REWRITE = "rewrite"
    CACHE = "cache"
    """An answer that was kept from before."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    kind: CallKind
    engine: str
    """Its name in configs/models.yaml; empty for what no engine of that file did."""
    model: str
    usage: Usage
    cost_micro: int = 0
    """In millionths of the currency unit; a meter prices a call that has none."""


class Meter(Protocol):
    """Of one turn."""

    def reserve(self, tokens: int, at_least: int | None = None) -> int:
        """Set tokens aside before a call; how many: `tokens`, or what is left when that is `at_least` so many.

        Raises QuotaExceeded: then nothing is set aside and the call must not begin.
        """

    def record(self, call: ModelCall, reserved: int = 0) -> None:
        """Price a call that has ended, however it did, and count it.

        `reserved` is what was set aside for it; what it did not use is free again. Without it the rest stays set aside
        to the turn's end.
        """

    @property
    def used(self) -> Usage:
        """The sum of what was recorded."""


@dataclass(slots=True)
class Tally:
    """The calls of a turn, as they were recorded."""

    calls: list[ModelCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost_micro: int = 0

    def add(self, call: ModelCall) -> None:
        self.calls.append(call)
        self.usage += call.usage
        self.cost_micro += call.cost_micro
