"""The one way a process connects to Redis or Valkey."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

SOCKET_SECONDS = 10.0
"""Longest wait for an answer; a blocking command must ask for less."""


def connect_redis(url: str) -> Redis:
    """A lazy, pooled client that answers in `str`. Commands are repeated after a lost connection, for about
    two seconds: a command that must not run twice needs an id of its own. Raises ValueError for a bad URL."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=3.0,
        socket_timeout=SOCKET_SECONDS,
        health_check_interval=15,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 5),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
