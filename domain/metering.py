"""What a turn's calls of models use: reserved before, recorded one by one, and summed for the ledger."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.generation import Usage
from domain.ids import ChatbotId, TenantId


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


class UseKind(StrEnum):
    """What a row of the ledger was used for."""

    TURN = "turn"
    FAILED_TURN = "failed_turn"
    """One that ended without an answer."""
    EVALUATION = "evaluation"
    EMBEDDING = "embedding"
    """Asked for through the API."""
    SUMMARY = "summary"
    """Made in the background, for turns to come."""
    GUARD = "guard"
    INGESTION = "ingestion"


class Meter(Protocol):
    """Of one turn."""

    def reserve(self, tokens: int, at_least: int | None = None, model: str | None = None) -> int:
        """Set tokens aside before a call; how many: `tokens`, or what is left when that is `at_least` so many.

        Their price is taken to be the highest of the `model`, which is the turn's own when it is not said.

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


class Purse(Protocol):
    """Of all tenants, for what is used beside turns."""

    def grant(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, tokens: int, *, at_least: int | None = None, price: int = 0
    ) -> AbstractAsyncContextManager[int]:
        """Hold `tokens`, or what is left when that is `at_least` so many, until the context is left.

        `price` is the most that a million of them can cost, in micro-units. Raises QuotaExceeded, NotFound for a bot
        that is gone, and Unavailable: then nothing may begin.
        """

    async def spend(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, tally: "Tally", entry: UUID | None = None
    ) -> None:
        """Tell what the ledger has from now on, before the grant is given back; each `entry` counts once."""


@dataclass(slots=True)
class Tally:
    """The calls of a turn, as they were recorded."""

    calls: list[ModelCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost_micro: int = 0

    @property
    def model(self) -> str:
        """The model of the last call."""
        return self.calls[-1].model if self.calls else ""

    def add(self, call: ModelCall) -> None:
        self.calls.append(call)
        self.usage += call.usage
        self.cost_micro += call.cost_micro
