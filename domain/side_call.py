"""A model asked for something beside the answer: a summary, or what a question means; metered, bounded, not shown."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from domain.attempt_lane import Waiting
from domain.attempts import Attempts
from domain.errors import EngineFailed
from domain.generation import GenerationRequest, PlanRequest, PromptMessage
from domain.ids import TenantId
from domain.metering import CallKind, Meter
from domain.ports import Generator, Planner
from domain.retry_budget import RetryBudget
from domain.trace import TurnTrace


@dataclass(frozen=True, slots=True)
class SideCall:
    id: str
    """Unique among what engines are asked."""
    kind: CallKind
    tenant_id: TenantId
    model: str
    messages: Sequence[PromptMessage]
    prompt_tokens: int
    max_tokens: int
    seconds: float
    """How long all of it may take."""
    count_factor: int = 1
    """How many tokens an engine may count for each of `prompt_tokens`, at most."""

    @property
    def most_prompt_tokens(self) -> int:
        return self.prompt_tokens * self.count_factor

    @property
    def most_tokens(self) -> int:
        return self.most_prompt_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class SidePorts:
    """Those of the turn that it is made for, without its trace: that tells of the answer."""

    planner: Planner
    generator: Generator
    meter: Meter
    retries: RetryBudget
    trace: TurnTrace = field(default_factory=TurnTrace)


async def ask(call: SideCall, ports: SidePorts) -> str:
    """What the first engine that answers says, without white space around it.

    Raises QuotaExceeded before anything is spent, EngineFailed when it takes too long, and what Attempts raise.
    """
    ports.meter.reserve(call.most_tokens)
    attempts = Attempts(ports, call.model, call.most_prompt_tokens, call.kind, call.most_tokens)
    plan = PlanRequest(call.tenant_id, call.model, call.prompt_tokens, call.max_tokens)
    request = GenerationRequest(call.id, call.model, tuple(call.messages), call.max_tokens)
    text = ""
    try:
        async with asyncio.timeout(call.seconds), aclosing(attempts.stream(plan, request)) as said:
            async for delta in said:
                text += "" if isinstance(delta, Waiting) else delta.text
    except TimeoutError:
        raise EngineFailed("The language model took too long.") from None
    return text.strip()
