"""Plans from the router's replicas over the shared streams: refusals, lost replicas, reports to each of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors import stream_planner
from actors.stream_planner import StreamPlanner
from actors.streams import StreamPool
from configs.settings import Settings
from deployments.llm.router_deployment import RouterReplica
from domain.errors import InvalidInput, Unavailable
from domain.generation import EngineTarget, PlanRequest
from domain.ids import TenantId
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.conditions import eventually
from tests.fixtures.engines import engine_settings, write_models

ENGINES = {"only": {"kind": "scripted", "max_running": 4, "max_queued": 4}}
MODELS = {"m": {"engines": ["only"], "context_tokens": 1000}}
TENANT = TenantId(uuid4())
TARGET = EngineTarget("only", "m", "a:1", 30.0, 30.0)
OpenRouter = Callable[[], Awaitable[RouterReplica]]


@pytest.fixture
def settings(empty_redis_url: str, tmp_path: Path) -> Settings:
    return engine_settings(empty_redis_url, write_models(tmp_path, ENGINES, MODELS), default_model="m")


@pytest.fixture
async def registry(empty_redis_url: str) -> AsyncIterator[EndpointRegistry]:
    redis = connect_redis(empty_redis_url)
    registry = EndpointRegistry(redis)
    state = {"engine": "only", "models": ["m"], "running": 0, "queued": 0}
    await registry.announce(Endpoint("engine", "a:1", "a:1", state), ttl_seconds=600)
    yield registry
    await redis.aclose()


@pytest.fixture
async def open_router(settings: Settings, registry: EndpointRegistry) -> AsyncIterator[OpenRouter]:
    async with AsyncExitStack() as stack:

        async def make() -> RouterReplica:
            known = len(await registry.list("router"))
            replica = RouterReplica.__new__(RouterReplica)
            await replica.__init__(settings)  # type: ignore[misc] # as Serve does it
            stack.push_async_callback(replica.close)

            async def announced() -> bool:
                return len(await registry.list("router")) > known

            await eventually(announced)
            return replica

        yield make


@pytest.fixture
async def planner(
    settings: Settings, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StreamPlanner]:
    monkeypatch.setattr(stream_planner, "TRY_AGAIN_SECONDS", (0.01, 0.01))
    pool = StreamPool(settings.secret_key.get_secret_value())
    planner = StreamPlanner(pool, registry)
    yield planner
    await planner.close()
    await pool.close()


async def addresses(planner: StreamPlanner) -> list[str]:
    return sorted({target.address for target in (await planner.plan(PlanRequest(TENANT, "m", 10))).targets})


async def test_a_plan_arrives_whole_and_a_refusal_is_final(planner: StreamPlanner, open_router: OpenRouter) -> None:
    await open_router()
    plan = await planner.plan(PlanRequest(TENANT, "default", 10))
    assert (plan.targets, plan.reason) == ((TARGET, TARGET), "preferred")
    assert plan.detail["model"] == "m"
    with pytest.raises(InvalidInput, match="too long"):
        await planner.plan(PlanRequest(TENANT, "m", 1000))


async def test_without_a_router_there_is_no_plan_and_a_new_one_is_found(
    planner: StreamPlanner, open_router: OpenRouter
) -> None:
    with pytest.raises(Unavailable):
        await planner.plan(PlanRequest(TENANT, "m", 10))
    first = await open_router()
    assert await addresses(planner) == ["a:1"]
    await first.close()
    await open_router()
    assert await addresses(planner) == ["a:1"]


async def test_a_router_that_does_not_answer_is_passed_over(
    planner: StreamPlanner, open_router: OpenRouter, registry: EndpointRegistry
) -> None:
    await registry.announce(Endpoint("router", "0", "127.0.0.1:1"), ttl_seconds=600)
    await planner.look()
    await open_router()
    await planner.look()
    for _ in range(3):
        assert await addresses(planner) == ["a:1"]


async def test_while_redis_is_away_the_last_routers_are_asked(
    planner: StreamPlanner, open_router: OpenRouter, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_router()
    await planner.look()

    async def fail(service: str) -> list[Endpoint]:
        raise ConnectionRefusedError

    monkeypatch.setattr(registry, "list", fail)
    await planner.look()
    assert await addresses(planner) == ["a:1"]


async def test_every_router_hears_of_a_failing_engine(planner: StreamPlanner, open_router: OpenRouter) -> None:
    routers = [await open_router(), await open_router()]
    await planner.look()
    for _ in range(3):
        await planner.report(TARGET, ok=False)

    async def left_out() -> bool:
        states: list[dict[str, Any]] = [state for one in routers for state in await one._router.engines()]
        return [state["breaker"] for state in states] == ["open", "open"]

    await eventually(left_out)
    for _ in routers:
        with pytest.raises(Unavailable, match="language model"):
            await planner.plan(PlanRequest(TENANT, "m", 10))
