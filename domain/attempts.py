"""The attempts of one generation: the planned engines in turn, or two at once, until one of them answers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from domain.attempt_lane import Lane, Waiting
from domain.errors import AppError, EngineFailed, ModelStarting, QuotaExceeded, RateLimited, Unavailable
from domain.generation import Delta, EngineTarget, GenerationRequest, PlanRequest, Usage
from domain.metering import CallKind, ModelCall
from domain.ports import GenerationPorts
from domain.retry_budget import RetryBudget
from domain.trace import TurnTrace

STARTING_SECONDS = 90.0
"""How long a turn waits for a model that is being loaded."""
BUSY_SECONDS = 10.0
"""How long it waits for a provider that said when it will take more."""
SAME_PAUSE_SECONDS = 0.2
NO_MODEL = "No language model is available at the moment; try again."
SILENT = "The language model did not begin to answer in time; try again."


class AttemptPorts(GenerationPorts, Protocol):
    """What attempts need of the turn's ports."""

    @property
    def trace(self) -> TurnTrace: ...
    @property
    def retries(self) -> RetryBudget: ...


class Attempts:
    """Iterate `stream` once; the fields tell how far it has come, also after it was cancelled."""

    def __init__(
        self,
        ports: AttemptPorts,
        model: str,
        most_prompt_tokens: int,
        kind: CallKind = CallKind.ANSWER,
        reserved: int = 0,
    ) -> None:
        """`most_prompt_tokens` is what an engine may count for the prompt at most. What is no answer is never asked
        twice at once: nobody waits for it. `reserved` is what the caller set aside, given back after the attempt that
        answers; unset, it is held to the turn's end."""
        self.model = model
        """Of the attempt that answers, or was made last."""
        self.reason = ""
        """Why this engine: what the router said, and what has happened since."""
        self._ports = ports
        self._most_prompt_tokens = most_prompt_tokens
        self._kind = kind
        self._reserved = reserved
        self._targets: deque[EngineTarget] = deque()
        self._hedge_after: float | None = None
        self._lanes: dict[asyncio.Task[Delta | None], Lane] = {}
        """Attempts that have said nothing yet, by what reads their next delta."""
        self._winner: Lane | None = None
        self._failure: AppError = Unavailable(NO_MODEL)
        self._failed: EngineTarget | None = None

    async def stream(self, ask: PlanRequest, request: GenerationRequest) -> AsyncGenerator[Delta | Waiting, None]:
        """The deltas with text of the first engine that says something; engines that fail before are passed over.

        What one attempt may use is reserved by the caller, what further ones use is reserved here; each is metered
        when it has ended, however it did. `request` names no model and gets that of its target. An engine that goes
        on after `max_tokens` is cut off. Raises what the planner raised, what the last attempt failed of, or what
        broke an answer off.
        """
        async with aclosing(self._planned(ask)) as steps:
            async for step in steps:
                yield step
        try:
            async with aclosing(self._opening(request, ask.prompt_tokens)) as steps:
                async for step in steps:
                    yield step
        finally:
            await self._drop_lanes()
        lane = self._winner
        assert lane is not None
        try:
            async with aclosing(lane.deltas):
                delta = lane.first
                while delta is not None and lane.take(delta, request.max_tokens):
                    if delta.text:
                        yield delta
                    delta = await anext(lane.deltas, None)
        except (EngineFailed, Unavailable):
            await self._ports.planner.report(lane.target, ok=False)
            raise
        finally:
            self._meter(self._kind, lane, lane.usage, lane.reserved or self._reserved)
        await self._ports.planner.report(lane.target, ok=True, ttft=lane.first_after)

    async def _planned(self, ask: PlanRequest) -> AsyncGenerator[Waiting, None]:
        """Get a plan, and wait for it while a model starts or a provider has asked for a pause."""
        loop = asyncio.get_running_loop()
        began, told = loop.time(), ""
        while True:
            try:
                with self._ports.trace.stage("plan"):
                    plan = await self._ports.planner.plan(ask)
                break
            except (ModelStarting, RateLimited) as error:
                stage, patience = (
                    ("starting", STARTING_SECONDS) if isinstance(error, ModelStarting) else ("queued", BUSY_SECONDS)
                )
                pause = max(0.05, error.retry_after or 1.0)
                if loop.time() - began + pause > patience:
                    raise
                if stage != told:
                    yield Waiting(stage)
                    told = stage
            await asyncio.sleep(pause)
        if told:
            yield Waiting("generating")
        self.reason = plan.reason
        self._targets.extend(plan.targets)
        self._hedge_after = plan.hedge_after_seconds if self._kind is CallKind.ANSWER else None
        targets = [[target.engine, target.model] for target in plan.targets]
        self._ports.trace.note("plan", {"reason": plan.reason, "targets": targets, **plan.detail})

    async def _opening(self, request: GenerationRequest, prompt_tokens: int) -> AsyncGenerator[Waiting, None]:
        """Begin attempts until one of them says something: that is the winner. Raises the last failure."""
        loop = asyncio.get_running_loop()
        self._ports.retries.turn()
        self._begin(request, prompt_tokens)
        hedge_at = None if self._hedge_after is None else loop.time() + self._hedge_after
        while self._lanes:
            until = min(lane.deadline for lane in self._lanes.values())
            until = until if hedge_at is None else min(until, hedge_at)
            await asyncio.wait(self._lanes, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in self._lanes if task.done()]:
                lane = self._lanes.pop(task)
                waiting = await self._heard(lane, task)
                if self._winner is not None:
                    return
                if waiting is not None:
                    yield waiting
            now = loop.time()
            for task, lane in [item for item in self._lanes.items() if item[1].deadline <= now]:
                del self._lanes[task]
                await self._fail(lane, EngineFailed(SILENT), lane.usage)
                await lane.close(task)
            if hedge_at is not None and hedge_at <= now:
                hedge_at = None
                self._hedge(request, prompt_tokens)
            if not self._lanes and await self._may_go_on():
                self._begin(request, prompt_tokens)
        raise self._failure

    async def _heard(self, lane: Lane, task: "asyncio.Task[Delta | None]") -> Waiting | None:
        """What an attempt has said, or failed of; it goes on to be read when that was nothing yet."""
        try:
            delta = task.result()
            if delta is None:
                raise EngineFailed
        except (EngineFailed, Unavailable, RateLimited) as error:
            await self._fail(lane, error, lane.usage if lane.tokens else Usage())
            return None
        except AppError:
            # The request itself is refused: no other engine would take it.
            self._meter(CallKind.RETRY, lane, Usage(), lane.reserved)
            raise
        if delta.text or delta.finish is not None:
            lane.opened(delta)
            self._winner, self.model = lane, lane.target.model
            if lane.is_hedge:
                self.reason += "; hedged"
            return None
        lane.hear(delta)
        self._lanes[lane.read()] = lane
        if delta.queued is None:
            return None
        return Waiting("queued", delta.queued) if delta.queued else Waiting("generating")

    def _begin(self, request: GenerationRequest, prompt_tokens: int, reserved: int = 0) -> None:
        """Start with the next target, if there is one left."""
        if self._targets:
            target = self._targets.popleft()
            self.model = target.model
            deltas = self._ports.generator.generate(target, replace(request, model=target.model))
            lane = Lane(target, deltas, prompt_tokens, reserved, self._most_prompt_tokens)
            self._lanes[lane.read()] = lane

    def _hedge(self, request: GenerationRequest, prompt_tokens: int) -> None:
        """Ask a second engine while the first says nothing, if that may be paid and there is one."""
        if not self._targets or len(self._lanes) != 1 or not self._ports.retries.take():
            return
        try:
            reserved = self._ports.meter.reserve(self._most_prompt_tokens + request.max_tokens)
        except QuotaExceeded:
            return
        model = self.model
        self._begin(request, prompt_tokens, reserved)
        self.model = model

    async def _may_go_on(self) -> bool:
        """Whether the next target may be tried after a failure. The same replica again is given a moment, and not
        asked again when it had too much to do."""
        if isinstance(self._failure, RateLimited) and self._failed is not None:
            while self._targets and self._targets[0].address == self._failed.address:
                self._targets.popleft()
        if not self._targets or isinstance(self._failure, QuotaExceeded) or not self._ports.retries.take():
            return False
        if self._failed is not None and self._targets[0].address == self._failed.address:
            await asyncio.sleep(SAME_PAUSE_SECONDS)
        return True

    async def _fail(self, lane: Lane, error: AppError, used: Usage) -> None:
        """An attempt ended before it had said anything. An engine that failed at once reports no use; one that kept
        us waiting has read the prompt, and what that took is reserved anew for the next."""
        self._failure, self._failed = error, lane.target
        self._meter(CallKind.RETRY, lane, used, lane.reserved)
        self.reason += f"; {lane.target.engine} {_fault(error)}"
        if used.total_tokens and not lane.reserved:
            try:
                self._ports.meter.reserve(used.total_tokens)
            except QuotaExceeded as none_left:
                self._failure = none_left
        if not isinstance(error, RateLimited):
            await self._ports.planner.report(lane.target, ok=False)

    async def _drop_lanes(self) -> None:
        """End what runs beside the winner, or all when the turn was stopped before anybody said something."""
        lanes = list(self._lanes.items())
        self._lanes.clear()
        for place, (_, lane) in enumerate(lanes):
            lost = self._winner is not None or place > 0
            self._meter(CallKind.HEDGE if lost else self._kind, lane, lane.usage, lane.reserved)
        for task, lane in lanes:
            await lane.close(task)
            if self._winner is not None:
                await self._ports.planner.report(lane.target, ok=None, ttft=lane.age)

    def _meter(self, kind: CallKind, lane: Lane, usage: Usage, reserved: int) -> None:
        self._ports.meter.record(ModelCall(kind, lane.target.engine, lane.target.model, usage), reserved)


def _fault(error: AppError) -> str:
    if isinstance(error, RateLimited):
        return "is busy"
    return "said nothing" if error.message == SILENT else "failed"
