"""1,000 turns while one of two engines fails at random or is killed: what visitors see, what is billed, what it adds.

The real router, planner, streams and scripted engines, the killed one in a process of its own; retrieval is a twin.
`python -m benchmarks.failover` prints one dict.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from actors.loops import repeat, run_until_closed
from actors.serve_ports import StreamGenerator
from actors.stream_planner import StreamPlanner
from actors.streams import StreamPool
from benchmarks.figures import milliseconds, percentile
from cluster.embedded import EmbeddedValkey
from configs.settings import Settings
from deployments.llm.engine_deployment import LlmEngine
from deployments.llm.router_deployment import RouterReplica
from domain.conversation import TurnState
from domain.difficulty import difficulty_of
from domain.errors import AppError
from domain.generation import Delta, EngineTarget, GenerationRequest, Plan, PlanRequest
from domain.ids import TenantId, new_uuid
from domain.metering import CallKind
from domain.retry_budget import RetryBudget
from domain.turn import AnswerEnded, AnswerText, StopSignal, run_turn
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry
from tests.fixtures.engines import SECRET, engine_process, engine_settings, write_models
from tests.fixtures.twins import TwinGenerator, TwinMeter, passage, turn_input, turn_ports

TURNS, TOGETHER, ALONE = 1_000, 16, 300
TENANT = TenantId(new_uuid())
QUESTION = "What is the difference between the two lamps, and which one is cheaper?"
ANSWER: dict[str, str | int] = {
    "reply": "It costs forty euros.",
    "tokens": 32,
    "tokens_per_second": 500,
    "first_token_ms": 5,
}
SEED = 6
ENGINE = "_engine"
"""Where a replica has it: the books are kept inside."""


@dataclass
class Seen:
    """What 1,000 turns came to; times in seconds."""

    states: Counter[str] = field(default_factory=Counter)
    errors_before_text: int = 0
    billed_once: int = 0
    tokens_billed: int = 0
    retries: int = 0
    plan: list[float] = field(default_factory=list)
    after_failure: list[float] = field(default_factory=list)
    """From a detected failure to the first token of the next engine."""
    undisturbed: list[float] = field(default_factory=list)
    """From asking an engine to its first token, where nothing failed."""

    def figures(self, served: int | None) -> dict[str, Any]:
        added = percentile(self.after_failure, 50) - percentile(self.undisturbed, 50) if self.after_failure[1:] else 0
        return {
            "turns": sum(self.states.values()) + self.errors_before_text,
            "errors_before_the_first_token": self.errors_before_text,
            "interrupted_after_it": self.states[TurnState.INTERRUPTED.value],
            "billed_exactly_once": self.billed_once,
            "failed_attempts": self.retries,
            "tokens_billed": self.tokens_billed,
            **({} if served is None else {"tokens_that_engines_counted": served}),
            "failover_added_p50_ms": milliseconds(added),
            "plan_under_this_load_p50_ms": milliseconds(percentile(self.plan, 50)),
        }


class TimedPlanner:
    def __init__(self, planner: StreamPlanner, seen: Seen) -> None:
        self._planner = planner
        self._seen = seen

    async def plan(self, request: PlanRequest) -> Plan:
        begun = time.perf_counter()
        plan = await self._planner.plan(request)
        self._seen.plan.append(time.perf_counter() - begun)
        return plan

    async def report(self, target: EngineTarget, ok: bool | None, ttft: float | None = None) -> None:
        await self._planner.report(target, ok, ttft)


class TimedGenerator:
    """Of one turn: when an attempt failed, and when the next one said something."""

    def __init__(self, generator: StreamGenerator, seen: Seen) -> None:
        self._generator = generator
        self._seen = seen
        self._failed_at: float | None = None

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        begun, first = time.perf_counter(), True
        try:
            async for delta in self._generator.generate(target, request):
                if first and delta.text:
                    first, now = False, time.perf_counter()
                    if self._failed_at is None:
                        self._seen.undisturbed.append(now - begun)
                    else:
                        self._seen.after_failure.append(now - self._failed_at)
                yield delta
        except AppError:
            self._failed_at = time.perf_counter()
            raise


@dataclass
class Counting:
    """An engine that keeps the books of what it has said."""

    engine: Any
    tokens: int = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        async for delta in self.engine.generate(request):
            if delta.usage is not None:
                self.tokens += delta.usage.total_tokens
            yield delta

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


class Rig:
    def __init__(self, planner: StreamPlanner, generator: StreamGenerator) -> None:
        self.seen = Seen()
        self._planner = TimedPlanner(planner, self.seen)
        self._generator = generator
        self._retries = RetryBudget()

    async def routing(self, count: int = ALONE) -> float:
        """The median time, in seconds, that telling a question's difficulty and getting a plan take, one by one."""
        times = []
        for number in range(count):
            begun = time.perf_counter()
            difficulty = difficulty_of(QUESTION)
            request = PlanRequest(TENANT, "m", 100, 64, str(number), "free", difficulty.score, difficulty.signals)
            await self._planner.plan(request)
            times.append(time.perf_counter() - begun)
        self.seen.plan.clear()
        return percentile(times, 50)

    async def turns(self, count: int, together: int = TOGETHER) -> None:
        numbers = iter(range(count))

        async def worker() -> None:
            for _ in numbers:
                await self._turn()

        await asyncio.gather(*(worker() for _ in range(together)))

    async def _turn(self) -> None:
        seen, meter = self.seen, TwinMeter()
        ports = replace(
            turn_ports(TwinGenerator({}), [passage("The lamp costs 40 euros.")], meter=meter),
            planner=self._planner,
            generator=TimedGenerator(self._generator, seen),
            retries=self._retries,
        )
        shown = False
        try:
            async for event in run_turn(replace(turn_input(), model="m"), ports, StopSignal()):
                shown = shown or isinstance(event, AnswerText)
                if isinstance(event, AnswerEnded):
                    seen.states[event.state.value] += 1
        except AppError:
            seen.errors_before_text += not shown
        answers = [call for call in meter.tally.calls if call.kind is CallKind.ANSWER]
        seen.billed_once += len(answers) == 1
        seen.retries += len(meter.tally.calls) - len(answers)
        seen.tokens_billed += meter.used.total_tokens


@asynccontextmanager
async def rig_of(settings: Settings) -> AsyncIterator[Rig]:
    """A router, and what plans and generates through it, as in a session host."""
    async with AsyncExitStack() as stack:
        router = RouterReplica.__new__(RouterReplica)
        await router.__init__(settings)  # type: ignore[misc] # as Serve does it
        stack.push_async_callback(router.close)
        redis = connect_redis(settings.redis_url or "")
        stack.push_async_callback(redis.aclose)
        pool = StreamPool(SECRET)
        stack.push_async_callback(pool.close)
        planner = StreamPlanner(pool, EndpointRegistry(redis))
        stack.push_async_callback(planner.close)
        run_until_closed(stack, repeat("routers", planner.look, 1.0))
        yield Rig(planner, StreamGenerator(pool))


@asynccontextmanager
async def opened(settings: Settings, name: str) -> AsyncIterator[Counting]:
    replica = LlmEngine.__new__(LlmEngine)
    await replica.__init__(settings, name)  # type: ignore[misc] # as Serve does it
    counting = Counting(getattr(replica, ENGINE))
    setattr(replica, ENGINE, counting)
    try:
        yield counting
    finally:
        await replica.close()


def settings_of(
    folder: Path, redis_url: str, failing: dict[str, Any], answer: dict[str, str | int] = ANSWER
) -> Settings:
    engines = {
        "first": {"kind": "scripted", "max_running": 64, "options": answer | failing},
        "second": {"kind": "scripted", "max_running": 64, "options": answer},
    }
    models = {"m": {"engines": ["first", "second"], "context_tokens": 1000}}
    return engine_settings(redis_url, write_models(folder, engines, models), default_model="m")


async def random_failures(folder: Path, redis_url: str, turns: int = TURNS) -> dict[str, Any]:
    """The first engine fails 30 % of its generations before their first token."""
    settings = settings_of(folder, redis_url, {"fail": "before", "fail_rate": 0.3, "seed": SEED})
    async with opened(settings, "first") as first, opened(settings, "second") as second, rig_of(settings) as rig:
        alone = await rig.routing()
        await rig.turns(turns)
        return rig.seen.figures(first.tokens + second.tokens) | {"routing_p50_ms": milliseconds(alone)}


async def killed(folder: Path, redis_url: str, turns: int = TURNS) -> dict[str, Any]:
    """The first engine's process is killed after a third of the turns, most of which wait for their first token."""
    settings = settings_of(folder, redis_url, {}, ANSWER | {"first_token_ms": 60, "tokens": 4})
    async with engine_process(settings, "first") as process, opened(settings, "second"), rig_of(settings) as rig:
        await rig.turns(turns // 3)

        async def kill() -> None:
            await asyncio.sleep(0.1)
            os.kill(process.pid, signal.SIGKILL)

        killing = asyncio.create_task(kill())
        await rig.turns(turns - turns // 3)
        await killing
        return rig.seen.figures(None)


async def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="loquent-failover-") as name:
        folder = Path(name)
        valkey = EmbeddedValkey(folder / "valkey")
        running = await asyncio.to_thread(valkey.open)
        try:
            found = {"failing_at_random": await random_failures(_made(folder / "random"), running.url)}
            redis = connect_redis(running.url)
            await redis.flushall()
            await redis.aclose()
            return found | {"killed": await killed(_made(folder / "killed"), running.url)}
        finally:
            await asyncio.to_thread(valkey.close)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def measure() -> dict[str, Any]:
    return uvloop.run(_measure())


if __name__ == "__main__":
    print(measure())
