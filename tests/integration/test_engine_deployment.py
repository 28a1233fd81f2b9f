"""An engine replica streams over the real transport, bounds its load, and is found in the registry while it is well."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.streams import StreamPool
from configs.settings import Settings
from deployments.llm.announced import SERVICE, STARTING
from deployments.llm.engines.scripted import ScriptedEngine
from domain.errors import EngineFailed, InvalidInput, RateLimited, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, PromptMessage, Usage
from domain.generation_codec import decode_delta, encode_request
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.conditions import eventually
from tests.fixtures.engines import SECRET, OpenEngine, engine_settings, write_models


def settings_of(folder: Path, redis_url: str, options: dict[str, Any] | None = None, **spec: Any) -> Settings:
    engines = {"script": {"kind": "scripted", "options": options or {}} | spec}
    models = {"m": {"engines": ["script"], "context_tokens": 1000}}
    return engine_settings(redis_url, write_models(folder, engines, models), default_model="m")


@pytest.fixture
async def registry(empty_redis_url: str) -> Any:
    redis: Redis = connect_redis(empty_redis_url)
    yield EndpointRegistry(redis)
    await redis.aclose()


@pytest.fixture
async def pool() -> Any:
    pool = StreamPool(SECRET)
    yield pool
    await pool.close()


async def only(registry: EndpointRegistry) -> Endpoint:
    [endpoint] = await registry.list(SERVICE)
    return endpoint


async def until(registry: EndpointRegistry, condition: Callable[[list[Endpoint]], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition(await registry.list(SERVICE)):
            await asyncio.sleep(0.05)


def payload(text: str = "one two three", max_tokens: int = 1000, model: str = "m") -> dict[str, Any]:
    return encode_request(GenerationRequest("t", model, (PromptMessage("user", text),), max_tokens))


async def ask(pool: StreamPool, address: str, body: Any) -> AsyncGenerator[Delta, None]:
    async with aclosing(pool.stream(address, "generate", body)) as items:
        async for item in items:
            yield decode_delta(item)


async def test_an_answer_comes_over_the_wire(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    await open_engine(settings_of(tmp_path, empty_redis_url), "script")
    endpoint = await only(registry)
    assert endpoint.info == {"engine": "script", "models": ["m"], "running": 0, "queued": 0}
    deltas = [delta async for delta in ask(pool, endpoint.address, payload())]
    assert "".join(delta.text for delta in deltas) == "one two three"
    assert (deltas[-1].finish, deltas[-1].usage) == (FinishReason.STOP, Usage(3, 3))
    deltas = [delta async for delta in ask(pool, endpoint.address, payload(max_tokens=2))]
    assert (deltas[-1].finish, deltas[-1].usage) == (FinishReason.LENGTH, Usage(3, 2))


@pytest.mark.parametrize("body", [None, payload(model="another"), payload() | {"max_tokens": -1}], ids=str)
async def test_bad_requests_are_refused(
    open_engine: OpenEngine,
    empty_redis_url: str,
    tmp_path: Path,
    registry: EndpointRegistry,
    pool: StreamPool,
    body: Any,
) -> None:
    await open_engine(settings_of(tmp_path, empty_redis_url), "script")
    with pytest.raises(InvalidInput):
        await anext(ask(pool, (await only(registry)).address, body))


async def test_cancelling_the_stream_ends_the_generation_and_frees_its_place(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    paced = {"tokens": 1_000_000, "tokens_per_second": 100}
    replica = await open_engine(settings_of(tmp_path, empty_redis_url, paced, max_running=1, max_queued=1), "script")
    scripted: ScriptedEngine = replica._engine  # type: ignore[assignment]
    address = (await only(registry)).address
    first = ask(pool, address, payload(max_tokens=1_000_000))
    assert (await anext(first)).tokens == 1
    queue = ask(pool, address, payload())
    assert (await anext(queue)).queued == 1
    waiting = asyncio.create_task(anext(queue))
    await eventually(lambda: replica._admission.queued == 1)
    with pytest.raises(RateLimited):
        await anext(ask(pool, address, payload()))
    assert scripted.running == 1
    await first.aclose()
    assert (await waiting).queued == 0
    assert (await anext(queue)).tokens == 1
    await eventually(lambda: scripted.running <= 1)


async def test_who_waits_for_a_place_hears_where_it_stands_and_is_refused_in_the_end(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    paced = {"tokens": 1_000_000, "tokens_per_second": 100}
    settings = settings_of(tmp_path, empty_redis_url, paced, max_running=1, max_queued=2, queue_seconds=1.0)
    replica = await open_engine(settings, "script")
    address = (await only(registry)).address
    first, second, third = (ask(pool, address, payload(max_tokens=1_000_000)) for _ in range(3))
    assert (await anext(first)).tokens == 1
    assert (await anext(second)).queued == 1
    assert (await anext(third)).queued == 2
    assert replica.record_autoscaling_stats() == {"running": 1.0, "queued": 2.0}
    await first.aclose()
    assert (await anext(second)).queued == 0
    assert (await anext(second)).tokens == 1
    assert (await anext(third)).queued == 1
    with pytest.raises(RateLimited):
        await anext(third)
    await second.aclose()


async def test_it_says_that_it_starts_and_then_what_its_provider_takes(
    open_engine: OpenEngine,
    empty_redis_url: str,
    tmp_path: Path,
    registry: EndpointRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = asyncio.Event()

    async def load(self: ScriptedEngine) -> None:
        await opened.wait()
        self.open_now = True

    monkeypatch.setattr(ScriptedEngine, "open", load)
    opening = asyncio.ensure_future(open_engine(settings_of(tmp_path, empty_redis_url), "script"))

    async def starting() -> bool:
        return [one.info["models"] for one in await registry.list(STARTING)] == [["m"]]

    await eventually(starting)
    assert await registry.list(SERVICE) == []
    opened.set()
    replica = await opening
    assert await registry.list(STARTING) == []
    replica._limits.refused("m", {"retry-after": "60"})
    await until(registry, lambda found: bool(found and 50 < found[0].info.get("limited", {}).get("m", 0) <= 60))


async def test_an_engine_that_cannot_be_reached_withdraws_and_is_not_replaced(
    open_engine: OpenEngine,
    empty_redis_url: str,
    tmp_path: Path,
    registry: EndpointRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reachable = [False]

    async def answers(self: ScriptedEngine) -> bool:
        return reachable[0]

    monkeypatch.setattr(ScriptedEngine, "reachable", answers)
    replica = await open_engine(settings_of(tmp_path, empty_redis_url), "script")
    await until(registry, lambda found: not found)
    await replica.check_health()
    reachable[0] = True
    await until(registry, lambda found: len(found) == 1)


async def test_the_registry_shows_the_load_and_forgets_a_replica_that_stops(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    replica = await open_engine(settings_of(tmp_path, empty_redis_url, {"fail": "hang"}), "script")
    address = (await only(registry)).address
    asking = asyncio.create_task(anext(ask(pool, address, payload())))
    await until(registry, lambda found: found[0].info["running"] == 1)
    await replica.close()
    with pytest.raises(Unavailable):
        await asking
    assert await registry.list(SERVICE) == []


async def test_the_heartbeat_keeps_up_with_a_full_load(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    busy = {"tokens": 20_000, "batch": 1}
    await open_engine(settings_of(tmp_path, empty_redis_url, busy, max_running=64), "script")
    address = (await only(registry)).address

    async def drain() -> None:
        async for _ in ask(pool, address, payload(max_tokens=20_000)):
            pass

    load = [asyncio.create_task(drain()) for _ in range(32)]
    absent = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + 6  # longer than an announcement lasts
    while loop.time() < until and not all(task.done() for task in load):
        absent += not await registry.list(SERVICE)
        await asyncio.sleep(0.1)
    for task in load:
        task.cancel()
    await asyncio.gather(*load, return_exceptions=True)
    assert absent == 0


async def test_a_dead_engine_fails_its_health_check_and_withdraws(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    replica = await open_engine(settings_of(tmp_path, empty_redis_url), "script")
    await replica.check_health()
    address = (await only(registry)).address
    replica._engine.open_now = False  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        await replica.check_health()
    await until(registry, lambda found: not found)
    with pytest.raises(Unavailable):
        await anext(ask(pool, address, payload()))
    replica._engine.open_now = True  # type: ignore[attr-defined]
    await until(registry, lambda found: len(found) == 1)


async def test_a_failure_midway_comes_after_the_text(
    open_engine: OpenEngine, empty_redis_url: str, tmp_path: Path, registry: EndpointRegistry, pool: StreamPool
) -> None:
    await open_engine(settings_of(tmp_path, empty_redis_url, {"fail": "midway", "tokens": 8, "batch": 4}), "script")
    deltas = ask(pool, (await only(registry)).address, payload())
    assert (await anext(deltas)).tokens == 4
    with pytest.raises(EngineFailed):
        await anext(deltas)
