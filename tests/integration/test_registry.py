"""The endpoint registry over a real server: expiry, withdrawal, and a server that lost everything."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.conditions import eventually


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(empty_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def registry(redis: Redis) -> EndpointRegistry:
    return EndpointRegistry(redis)


async def list_until(registry: EndpointRegistry, service: str, count: int) -> list[Endpoint]:
    async with asyncio.timeout(10):
        while len(found := await registry.list(service)) != count:
            await asyncio.sleep(0.02)
    return found


async def test_endpoints_are_listed_by_service_and_instance(registry: EndpointRegistry) -> None:
    engine = Endpoint("engine", "b", "10.0.0.2:7000", {"models": ["ü"], "running": 3})
    other = Endpoint("engine", "a", "10.0.0.1:7000")
    host = Endpoint("session-host", "0", "10.0.0.1:7001")
    for endpoint in (engine, other, host):
        await registry.announce(endpoint)
    assert await registry.list("engine") == [other, engine]
    assert await registry.list("session-host") == [host]
    assert await registry.list("nobody") == []


async def test_the_newest_announcement_counts(registry: EndpointRegistry) -> None:
    await registry.announce(Endpoint("engine", "a", "10.0.0.1:1", {"running": 1}))
    newest = Endpoint("engine", "a", "10.0.0.1:2", {"running": 2})
    await registry.announce(newest)
    assert await registry.list("engine") == [newest]


async def test_silence_is_forgotten_and_leaves_nothing_behind(registry: EndpointRegistry, redis: Redis) -> None:
    living = Endpoint("engine", "living", "10.0.0.1:1")
    await registry.announce(living, ttl_seconds=60)
    await registry.announce(Endpoint("engine", "dead", "10.0.0.2:1"), ttl_seconds=0.1)
    assert await list_until(registry, "engine", 1) == [living]
    await registry.withdraw("engine", "living")
    await registry.withdraw("engine", "living")
    assert await registry.list("engine") == []
    assert await redis.dbsize() == 0


async def test_an_unreadable_entry_hides_no_other(registry: EndpointRegistry, redis: Redis) -> None:
    good = Endpoint("engine", "good", "10.0.0.1:1")
    await registry.announce(good)
    for instance, entry in {"a": "not json", "b": "[1]", "c": '["x", 3]', "d": "{}"}.items():
        await redis.hset("endpoints:{engine}:entries", instance, entry)
    assert await registry.list("engine") == [good]


async def test_a_heartbeat_survives_a_flushed_server_and_ends_with_its_task(
    registry: EndpointRegistry, redis: Redis
) -> None:
    beats = 0

    def describe() -> Endpoint:
        nonlocal beats
        beats += 1
        return Endpoint("engine", "a", "10.0.0.1:1", {"beat": beats})

    task = asyncio.create_task(registry.keep_announced(describe, every_seconds=0.02))
    await eventually(lambda: beats > 2)
    await redis.flushdb()
    (found,) = await list_until(registry, "engine", 1)
    assert found.info["beat"] > 2
    task.cancel()
    await asyncio.wait([task])
    assert await registry.list("engine") == []
