"""What models cost, in whole millionths of the currency unit, rounded up once per call."""

from decimal import Decimal
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.generation import Usage

PARTS = 1_000_000
"""Prices are whole micro-units per million tokens, so that sums of them are exact."""
PerToken = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=6)]
"""In millionths of the currency unit per token: the same figure as in currency units per million tokens."""


class Price(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: PerToken
    completion: PerToken
    cached: PerToken | None = None
    """Of prompt tokens that the engine had from before; like the others when unset."""

    @cached_property
    def per_million(self) -> tuple[int, int, int]:
        """Of prompt, completion and cached tokens, in micro-units."""
        cached = self.prompt if self.cached is None else self.cached
        return int(self.prompt * PARTS), int(self.completion * PARTS), int(cached * PARTS)

    @property
    def highest(self) -> int:
        """The most that a million tokens of any kind can cost, in micro-units."""
        return max(self.per_million)

    def cost_micro(self, usage: Usage) -> int:
        prompt, completion, kept = self.per_million
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        return ceiled((usage.prompt_tokens - cached) * prompt + cached * kept + usage.completion_tokens * completion)


def ceiled(parts: int) -> int:
    """Whole micro-units of so many millionths of one, rounded up."""
    return -(-parts // PARTS)
