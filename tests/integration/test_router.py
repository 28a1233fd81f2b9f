"""The router plans from what engines announce, and learns from how attempts end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from configs.settings import Settings
from deployments.llm import router as router_module
from deployments.llm.announced import STARTING
from deployments.llm.router import LlmRouter
from domain.errors import InvalidInput, ModelStarting, RateLimited, Unavailable
from domain.generation import PlanRequest
from domain.ids import TenantId
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.engines import engine_settings, write_models

ENGINES = {
    "first": {"kind": "scripted", "max_running": 4, "max_queued": 4},
    "second": {"kind": "scripted", "max_running": 4, "max_queued": 4},
}
TENANT = TenantId(uuid4())
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


def ask(model: str = "m", prompt_tokens: int = 10, **more: Any) -> PlanRequest:
    return PlanRequest(TENANT, model, prompt_tokens, **more)


async def plan(router: LlmRouter, model: str = "m") -> list[str]:
    return [target.address for target in (await router.plan(ask(model))).targets]


async def test_engines_come_in_the_order_of_the_table(router: LlmRouter, registry: EndpointRegistry) -> None:
    await announce(registry, "b:1", "second")
    await announce(registry, "a:1", "first")
    answer = await router.plan(ask("default"))
    assert [(target.engine, target.model, target.address) for target in answer.targets] == [
        ("first", "m", "a:1"),
        ("second", "m", "b:1"),
    ]
    assert answer.reason == "preferred"
    assert await plan(router, "other") == ["b:1", "b:1"], "one without a substitute is asked once more"


async def test_a_model_that_is_unknown_or_too_small_is_refused(router: LlmRouter) -> None:
    with pytest.raises(InvalidInput):
        await router.plan(ask("nothing"))
    with pytest.raises(InvalidInput):
        await router.plan(ask(prompt_tokens=1000))


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
    answer = await router.plan(ask())
    assert [target.address for target in answer.targets] == ["b:1", "b:1"]
    assert answer.reason == "fallback: open"
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


async def test_what_a_provider_takes_nothing_of_is_avoided_until_then(
    router: LlmRouter, registry: EndpointRegistry
) -> None:
    await announce(registry, "a:1", "first", limited={"m": 30.0})
    await announce(registry, "a:2", "first")
    await announce(registry, "b:1", "second")
    answer = await router.plan(ask())
    assert {target.address for target in answer.targets} == {"b:1"}, "replicas of an engine share its key"
    assert answer.reason == "fallback: limited"
    await announce(registry, "b:1", "second", limited={"m": 4.0})
    with pytest.raises(RateLimited) as refused:
        await plan(router)
    assert 3.0 < (refused.value.retry_after or 0) <= 4.0
    assert set(await plan(router, "other")) == {"b:1"}, "limits are of a model"
    await announce(registry, "a:1", "first")
    await announce(registry, "b:1", "second")
    assert await plan(router) == ["a:1", "a:2", "b:1"]


async def test_a_model_that_is_being_loaded_is_worth_waiting_for(router: LlmRouter, registry: EndpointRegistry) -> None:
    await registry.announce(Endpoint(STARTING, "x", "", {"engine": "second", "models": ["other"]}), ttl_seconds=60)
    with pytest.raises(ModelStarting):
        await plan(router, "other")
    with pytest.raises(Unavailable) as refused:
        await plan(router, "m")
    assert not isinstance(refused.value, ModelStarting)
    await announce(registry, "b:1", "second")
    assert await plan(router, "other") == ["b:1", "b:1"]


async def test_a_session_stays_with_its_replica(router: LlmRouter, registry: EndpointRegistry) -> None:
    for number in range(4):
        await announce(registry, f"a:{number}", "first")
    homes = {}
    for session in ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"):
        answers = [await router.plan(ask(session_id=session)) for _ in range(3)]
        assert {answer.reason for answer in answers} == {"sticky"}
        [homes[session]] = {answer.targets[0].address for answer in answers}
    assert len(set(homes.values())) > 1


async def test_a_replica_that_often_fails_or_is_slow_comes_later(router: LlmRouter, registry: EndpointRegistry) -> None:
    for name in ("a:1", "a:2"):
        await announce(registry, name, "first")
    await router.report("first", "a:1", True, ttft=3.0, count=50)
    await router.report("first", "a:2", True, ttft=0.2, count=50)
    assert await plan(router) == ["a:2", "a:1"]
    for _ in range(2):
        await router.report("first", "a:2", ok=False)
        await router.report("first", "a:2", ok=True)
    assert await plan(router) == ["a:1", "a:2"]


ROUTED = {
    "small": {"engines": ["first"], "context_tokens": 1000, "hedge_after_ms": 300},
    "large": {"engines": ["second"], "context_tokens": 4000},
}


async def test_a_route_sends_questions_where_they_belong_and_elsewhere_when_that_is_away(
    empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router_module, "FRESH_SECONDS", 0.0)
    routes = {"auto": {"simple": "small", "hard": "large"}}
    file = write_models(tmp_path, ENGINES, ROUTED, routes)
    router = LlmRouter(engine_settings(empty_redis_url, file, default_model="auto"))
    await announce(registry, "a:1", "first", models=["small"])
    await announce(registry, "b:1", "second", models=["large"])
    easy, hard = ask("default", difficulty=0.1), ask("auto", difficulty=0.9, signals=("comparison",))
    answer = await router.plan(easy)
    assert [target.model for target in answer.targets] == ["small", "large"]
    assert (answer.reason, answer.hedge_after_seconds) == ("simple → small", 0.3)
    answer = await router.plan(hard)
    assert [target.model for target in answer.targets] == ["large", "small"]
    assert answer.reason == "hard: comparison → large"
    assert answer.detail["difficulty"] == 0.9
    answer = await router.plan(ask("auto", prompt_tokens=2_000))
    assert answer.targets[0].model == "large"
    assert answer.reason == "simple → small, fallback: small too small → large"
    for _ in range(3):
        await router.report("second", "b:1", ok=False)
    answer = await router.plan(hard)
    assert answer.targets[0].model == "small"
    assert answer.reason == "hard: comparison → large, fallback: large open → small"
    await router.close()


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
    assert set(await plan(router)) == {"a:1"}

    async def fail(service: str) -> list[Endpoint]:
        raise ConnectionRefusedError

    monkeypatch.setattr(router._registry, "list", fail)
    assert set(await plan(router)) == {"a:1"}
    monkeypatch.setattr(router_module, "STALE_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await plan(router)


async def test_an_emptied_redis_leaves_the_last_list_for_a_while(
    router: LlmRouter, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(registry, "a:1", "first")
    assert set(await plan(router)) == {"a:1"}
    await registry.withdraw("engine", "a:1")
    monkeypatch.setattr(router_module, "FRESH_SECONDS", 0.0)
    router._read_next = 0.0
    assert set(await plan(router)) == {"a:1"}
    monkeypatch.setattr(router_module, "EMPTY_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await plan(router)


async def test_many_plans_at_once(router: LlmRouter, registry: EndpointRegistry) -> None:
    await announce(registry, "a:1", "first")
    answers = await asyncio.gather(*(plan(router) for _ in range(50)))
    assert answers == [["a:1", "a:1"]] * 50
