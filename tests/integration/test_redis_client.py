"""The Redis client: text answers, and cancellation that is never swallowed."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.redis.client import connect_redis


async def test_answers_are_text(empty_redis_url: str) -> None:
    async with connect_redis(empty_redis_url) as redis:
        await redis.set("key", "Überblick")
        assert await redis.get("key") == "Überblick"


@pytest.mark.parametrize("use_pipeline", [False, True])
async def test_a_cancelled_command_ends_its_task_wherever_it_was(empty_redis_url: str, use_pipeline: bool) -> None:
    async with connect_redis(empty_redis_url) as redis:

        async def run() -> None:
            while True:
                if use_pipeline:
                    pipeline = redis.pipeline()
                    pipeline.get("key")
                    await pipeline.execute()
                else:
                    await redis.get("key")

        for passes in range(40):
            task = asyncio.create_task(run())
            for _ in range(passes):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.cancelled(), f"swallowed after {passes} passes of the event loop"
        assert await redis.ping()


async def test_an_unreachable_server_is_an_error_not_a_wait() -> None:
    async with connect_redis("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(RedisConnectionError):
            await redis.ping()


def test_a_bad_url_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        connect_redis("http://localhost")
