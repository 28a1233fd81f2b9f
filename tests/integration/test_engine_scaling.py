"""An engine on a live cluster starts while a turn waits, grows with its queue, keeps sessions, and shrinks again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.serve_ports import StreamGenerator
from actors.streams import StreamPool
from configs.sizing import Autoscaling
from deployments.llm.announced import SERVICE, STARTING
from deployments.llm.engine_deployment import LlmEngine
from deployments.llm.router import LlmRouter
from domain.generation import EngineTarget, GenerationRequest, Plan, PlanRequest, PromptMessage
from domain.ids import TenantId
from domain.turn import AnswerEnded, AnswerText, StageReached, StopSignal, run_turn
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry
from tests.fixtures.conditions import eventually
from tests.fixtures.engines import SECRET, engine_settings, write_models
from tests.fixtures.twins import TwinGenerator, turn_input, turn_ports

pytestmark = pytest.mark.timeout(180)

PLACES = 8
SCALING = Autoscaling(
    min_replicas=1,
    max_replicas=2,
    target_ongoing_requests=PLACES,
    upscale_delay_s=0.2,
    downscale_delay_s=4,  # while it is looked who is sent where
    counts="generations",
)
APPLICATION = "engine-scaling"


class Scale:
    """The engine's deployment, a router of it, and a way to its replicas."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        script = {"tokens": 100_000, "tokens_per_second": 20, "open_ms": 1_500}
        engines = {"script": {"kind": "scripted", "max_running": PLACES, "max_queued": PLACES, "options": script}}
        models = {"m": {"engines": ["script"], "context_tokens": 200_000}}
        self.settings = engine_settings(redis_url, write_models(folder, engines, models), default_model="m")
        self.pool = StreamPool(SECRET)
        self.redis = connect_redis(redis_url)
        self.registry = EndpointRegistry(self.redis)
        self.router = LlmRouter(self.settings)
        self.generator = StreamGenerator(self.pool)

    def deploy(self) -> None:
        from ray import serve

        timing = {"metrics_interval_s": 0.2, "look_back_period_s": 0.5}
        deployment = serve.deployment(
            name="LlmEngine-script",
            autoscaling_config=SCALING.options() | timing,
            max_ongoing_requests=10,
            graceful_shutdown_timeout_s=1,
            health_check_period_s=1,
            ray_actor_options={"num_cpus": 0},
        )(LlmEngine)
        serve.start(proxy_location="Disabled")
        serve.run(deployment.bind(self.settings, "script"), name=APPLICATION, route_prefix=None, blocking=False)

    async def replicas(self) -> int:
        return len(await self.registry.list(SERVICE))

    async def home(self, session_id: str) -> str:
        """Where a router that knows of no other plans sends the session."""
        router = LlmRouter(self.settings)
        try:
            return (await router.plan(_ask(session_id))).targets[0].address
        finally:
            await router.close()

    async def hold(self) -> None:
        """A generation without an end."""
        target = (await self.router.plan(_ask(""))).targets[0]
        request = GenerationRequest(str(uuid4()), "m", (PromptMessage("user", "go"),), 100_000)
        async with aclosing(self.generator.generate(target, request)) as deltas:
            async for _ in deltas:
                pass

    async def close(self) -> None:
        await self.router.close()
        await self.pool.close()
        await self.redis.aclose()


def _ask(session_id: str) -> PlanRequest:
    return PlanRequest(TenantId(UUID(int=1)), "m", 10, session_id=session_id)


class RouterPlanner:
    """The Planner over a router of the same process."""

    def __init__(self, router: LlmRouter) -> None:
        self._router = router

    async def plan(self, request: PlanRequest) -> Plan:
        return await self._router.plan(request)

    async def report(self, target: EngineTarget, ok: bool | None, ttft: float | None = None) -> None:
        await self._router.report(target.engine, target.address, ok, ttft)


@pytest.fixture
async def scale(ray_cluster: Any, empty_redis_url: str, tmp_path: Path) -> AsyncIterator[Scale]:
    from ray import serve

    made = Scale(tmp_path, empty_redis_url)
    try:
        yield made
    finally:
        await made.close()
        await asyncio.to_thread(serve.shutdown)


async def test_an_engine_starts_grows_keeps_its_sessions_and_shrinks(scale: Scale) -> None:
    deploying = asyncio.create_task(asyncio.to_thread(scale.deploy))

    async def starting() -> bool:
        return bool(await scale.registry.list(STARTING))

    await eventually(starting, within=60)
    # A turn that comes now waits, and its reader is told what for.
    ports = replace(turn_ports(TwinGenerator({})), planner=RouterPlanner(scale.router), generator=scale.generator)
    turn = replace(turn_input(retrieval={"grounding": "open"}, max_tokens=3), model="m")
    events = [event async for event in run_turn(turn, ports, StopSignal())]
    stages = [event.stage for event in events if isinstance(event, StageReached)]
    assert stages.index("starting") < len(stages) - 1 - stages[::-1].index("generating")
    assert "".join(event.text for event in events if isinstance(event, AnswerText))
    assert isinstance(events[-1], AnswerEnded)
    await deploying

    assert await scale.replicas() == 1
    held = [asyncio.create_task(scale.hold()) for _ in range(PLACES + 2)]

    async def grown() -> bool:
        return await scale.replicas() == 2

    await eventually(grown, within=60)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)

    async def idle() -> bool:
        return not any(one.info["running"] or one.info["queued"] for one in await scale.registry.list(SERVICE))

    await eventually(idle)
    sessions = [f"session-{number}" for number in range(16)]
    homes = [await scale.home(session) for session in sessions]
    assert [await scale.home(session) for session in sessions] == homes
    assert len(set(homes)) == 2

    async def shrunk() -> bool:
        return await scale.replicas() == 1

    await eventually(shrunk, within=60)
    # Its sessions go on at the other one, whose own stay.
    [left] = {await scale.home(session) for session in sessions}
    assert left in homes
