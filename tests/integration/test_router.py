"""The router plans from what engines announce, and learns from how attempts end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from configs.settings import Settings
from deployments.llm import router as router_module
from deployments.llm.router import LlmRouter
from domain.errors import InvalidInput, Unavailable
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.engines import engine_settings, write_models

ENGINES = {
    "first": {"kind": "scripted", "max_running": 4, "max_queued": 4},
    "second": {"kind": "scripted", "max_running": 4, "max_queued": 4},
}
MODELS = {
    "m": {"engines": ["first", "second"], "context_tokens": 1000},
    "other": {"engines": ["second"], "context_tokens": 1000},
}


@pytest.fixture
def settings(empty_redis_url: str, tmp_path: Path) -> Settings:
    return engine_settings(empty_redis_url, write_models(tmp_path, ENGINES, MODELS), default_model="m")


@pytest.fixture
async def registry(empty_redis_url: str) -> AsyncIterator[EndpointRegistry]:
    redis = connect_redis(empty_redis_url)
    yield EndpointRegistry(redis)
    await redis.aclose()


@pytest.fixture
async def router(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LlmRouter]:
    monkeypatch.setattr(router_module, "FRESH_SECONDS", 0.0)
    router = LlmRouter(settings)
    yield router
    await router.close()


async def announce(registry: EndpointRegistry, address: str, engine: str, **info: Any) -> None:
    models = ["m"] if engine == "first" else ["m", "other"]
    state = {"engine": engine, "models": models, "running": 0, "queued": 0} | info
    await registry.announce(Endpoint("engine", address, address, state), ttl_seconds=60)


async def plan(router: LlmRouter, model: str = "m") -> list[str]:
    return [target.address for target in (await router.plan("tenant", model, 10)).targets]


async def test_engines_come_in_the_order_of_the_table(router: LlmRouter, registry: EndpointRegistry) -> None:
    await announce(registry, "b:1", "second")
    await announce(registry, "a:1", "first")
    answer = await router.plan("tenant", "default", 10)
    assert [(target.engine, target.model, target.address) for target in answer.targets] == [
        ("first", "m", "a:1"),
        ("second", "m", "b:1"),
    ]
    assert answer.reason == "preferred"
    assert await plan(router, "other") == ["b:1"]


async def test_a_model_that_is_unknown_or_too_small_is_refused(router: LlmRouter) -> None:
    with pytest.raises(InvalidInput):
        await router.plan("tenant", "nothing", 10)
    with pytest.raises(InvalidInput):
        await router.plan("tenant", "m", 1000)


async def test_without_a_live_engine_there_is_no_plan(router: LlmRouter, registry: EndpointRegistry) -> None:
    with pytest.raises(Unavailable):
        await plan(router)
    await announce(registry, "b:1", "second", models=[])
    with pytest.raises(Unavailable):
        await plan(router)


async def test_a_failing_replica_is_left_out_and_comes_back_with_a_success(
    router: LlmRouter, registry: EndpointRegistry
) -> None:
    await announce(registry, "a:1", "first")
    await announce(registry, "b:1", "second")
    for _ in range(3):
        await router.report("first", "a:1", ok=False)
    answer = await router.plan("tenant", "m", 10)
    assert [target.address for target in answer.targets] == ["b:1"]
    assert answer.reason == "fallback"
    await router.report("first", "a:1", ok=True)
    assert await plan(router) == ["a:1", "b:1"]


async def test_plans_between_two_reports_spread_over_replicas(
    router: LlmRouter, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router_module, "FRESH_SECONDS", 60.0)
    await announce(registry, "a:1", "first")
    await announce(registry, "a:2", "first")
    firsts = [(await plan(router))[0] for _ in range(6)]
    assert firsts == ["a:1", "a:2"] * 3


async def test_readiness_sees_every_replica(router: LlmRouter, registry: EndpointRegistry) -> None:
    await announce(registry, "a:1", "first", running=2)
    [state] = await router.engines()
    assert state == {
        "engine": "first",
        "models": ["m"],
        "running": 2,
        "queued": 0,
        "address": "a:1",
        "breaker": "closed",
    }


async def test_a_silent_redis_leaves_the_last_list_for_a_while(
    router: LlmRouter, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(registry, "a:1", "first")
    assert await plan(router) == ["a:1"]

    async def fail(service: str) -> list[Endpoint]:
        raise ConnectionRefusedError

    monkeypatch.setattr(router._registry, "list", fail)
    assert await plan(router) == ["a:1"]
    monkeypatch.setattr(router_module, "STALE_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await plan(router)


async def test_an_emptied_redis_leaves_the_last_list_for_a_while(
    router: LlmRouter, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(registry, "a:1", "first")
    assert await plan(router) == ["a:1"]
    await registry.withdraw("engine", "a:1")
    monkeypatch.setattr(router_module, "FRESH_SECONDS", 0.0)
    router._read_next = 0.0
    assert await plan(router) == ["a:1"]
    monkeypatch.setattr(router_module, "EMPTY_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await plan(router)


async def test_many_plans_at_once(router: LlmRouter, registry: EndpointRegistry) -> None:
    await announce(registry, "a:1", "first")
    answers = await asyncio.gather(*(plan(router) for _ in range(50)))
    assert answers == [["a:1"]] * 50
