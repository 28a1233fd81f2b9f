"""The ports of the chain: checks of three shapes, and what they find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from domain.guarding.configuration import GuardrailsConfig
from domain.moderation import RuleGuard


@dataclass(frozen=True, slots=True)
class Span:
    """Something found at `start` to `end`, in characters."""

    start: int
    end: int
    label: str
    """What it is, as a reader sees it: `card number`."""


class SpanCheck(Protocol):
    """Finds parts of a text. Linear in its length; it never waits."""

    def find(self, text: str, since: int = 0) -> list[Span]:
        """In order, not overlapping; those that end before `since` may be left out, which saves looking for them."""

    def pending(self, text: str) -> int:
        """Where the end of `text` may be the beginning of a find; `len(text)` when it cannot."""


class RemoteCheck(Protocol):
    """Asks somebody else about a whole text."""

    async def score(self, text: str) -> float:
        """0 to 1. Raises AppError when there is no answer."""


def _count_nothing(check: str, place: str, outcome: str) -> None:
    """Nobody counts."""


def _no_personal_data(config: GuardrailsConfig) -> None:
    """Without a recogniser."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What a process has for all turns; the bot's configuration says which of it a turn uses."""

    rules: RuleGuard
    personal_data: Callable[[GuardrailsConfig], SpanCheck | None] = _no_personal_data
    moderation_api: RemoteCheck | None = None
    """None where no key is set: then the check fails, and its setting says what that means."""
    count: Callable[[str, str, str], None] = _count_nothing
    """Called with check, place and outcome, for metrics."""
