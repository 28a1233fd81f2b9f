"""A model asked for something beside the answer: a summary, or what a question means; metered, bounded, not shown."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from domain.errors import AppError, EngineFailed, Unavailable
from domain.generation import EngineTarget, GenerationRequest, PlanRequest, PromptMessage, Usage
from domain.ids import TenantId
from domain.metering import CallKind, Meter, ModelCall
from domain.ports import Generator, Planner


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
    def most_tokens(self) -> int:
        return self.prompt_tokens * self.count_factor + self.max_tokens


async def ask(call: SideCall, planner: Planner, generator: Generator, meter: Meter) -> str:
    """What the first engine that answers says, without white space around it.

    Raises QuotaExceeded before anything is spent, Unavailable, EngineFailed, and EngineFailed when it takes too long.
    """
    meter.reserve(call.most_tokens)
    failure: AppError = Unavailable("No language model is available at the moment; try again.")
    try:
        async with asyncio.timeout(call.seconds):
            plan = await planner.plan(PlanRequest(call.tenant_id, call.model, call.prompt_tokens, call.max_tokens))
            for target in plan.targets:
                try:
                    return await _said(call, target, generator, meter)
                except (EngineFailed, Unavailable) as error:
                    await planner.report(target, ok=False)
                    failure = error
    except TimeoutError:
        raise EngineFailed("The language model took too long.") from None
    raise failure


async def _said(call: SideCall, target: EngineTarget, generator: Generator, meter: Meter) -> str:
    request = GenerationRequest(call.id, target.model, tuple(call.messages), call.max_tokens)
    text, usage, tokens, reserved = "", Usage(), 0, 0
    try:
        async with aclosing(generator.generate(target, request)) as deltas:
            async for delta in deltas:
                text += delta.text
                tokens += delta.tokens
                usage = delta.usage or Usage(call.prompt_tokens, tokens)
        reserved = call.most_tokens
    finally:
        # What was said until it failed or was cut off has been used as well; the next engine needs what was set aside.
        meter.record(ModelCall(call.kind, target.engine, target.model, usage), reserved)
    return text.strip()
