"""The one way a process connects to Redis or Valkey."""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

SOCKET_SECONDS = 10.0
"""Longest wait for an answer; a blocking command must ask for less."""


class _CancellableSends(AbstractConnection):
    """`asyncio.wait_for`, which sends go through, swallows a cancellation that comes just as they end (Python 3.11,
    bpo-37658); a task would then run on as if it had never been cancelled."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # the answer will never be read
            raise asyncio.CancelledError


def connect_redis(url: str) -> Redis:
    """A lazy, pooled client that answers in `str`. Commands are repeated after a lost connection, for about
    two seconds: a command that must not run twice needs an id of its own. Raises ValueError for a bad URL."""
    return _connect(
        url,
        decode_responses=True,
        socket_connect_timeout=3.0,
        socket_timeout=SOCKET_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 5),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


def connect_redis_for_bytes(url: str, seconds: float) -> Redis:
    """A client that answers in `bytes`. Nothing is repeated: it says within about `seconds` that Redis is away."""
    return _connect(
        url,
        decode_responses=False,
        socket_connect_timeout=seconds,
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    )


def _connect(url: str, **options: Any) -> Redis:
    client: Redis = Redis.from_url(url, health_check_interval=15, **options)
    pool = client.connection_pool
    kind = pool.connection_class  # plain, TLS or a Unix socket, as the URL says
    pool.connection_class = type(kind.__name__, (_CancellableSends, kind), {})
    return client
