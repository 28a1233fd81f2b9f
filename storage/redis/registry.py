"""Which processes serve streams, and where: every one announces itself and is forgotten when it stops."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

# One sorted set per service (instance by expiry, in milliseconds) and one hash (instance to JSON). The server's
# clock decides, so that skewed machines agree. KEYS: expiries, entries.
_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000) "
_ANNOUNCE = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
"""
)
_LIST = (
    _NOW
    + """
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, instance in ipairs(gone) do
    redis.call('ZREM', KEYS[1], instance)
    redis.call('HDEL', KEYS[2], instance)
end
return redis.call('HGETALL', KEYS[2])
"""
)
_WITHDRAW = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One process of a service; `address` is `host:port`, `info` is plain data."""

    service: str
    instance: str
    address: str
    info: dict[str, Any] = field(default_factory=dict)


class EndpointRegistry:
    """Nothing in it outlives its heartbeat, so a flushed server is whole again after one beat of each process.

    The client must answer in `str`, as `connect_redis` makes it.
    """

    def __init__(self, redis: Redis) -> None:
        self._announce = redis.register_script(_ANNOUNCE)
        self._list = redis.register_script(_LIST)
        self._withdraw = redis.register_script(_WITHDRAW)

    async def announce(self, endpoint: Endpoint, ttl_seconds: float = 4) -> None:
        """List the endpoint for `ttl_seconds` from now, with its newest address and info."""
        entry = json.dumps([endpoint.address, endpoint.info], separators=(",", ":"))
        await self._announce(
            keys=_keys(endpoint.service), args=[endpoint.instance, max(1, round(ttl_seconds * 1000)), entry]
        )

    async def withdraw(self, service: str, instance: str) -> None:
        """Forget an instance at once; an unknown one is fine."""
        await self._withdraw(keys=_keys(service), args=[instance])

    async def list(self, service: str) -> list[Endpoint]:
        """The live endpoints of a service, by instance."""
        flat = await self._list(keys=_keys(service), args=[])
        found = []
        for instance, entry in zip(flat[::2], flat[1::2], strict=True):
            try:
                address, info = json.loads(entry)
                found.append(Endpoint(service, instance, str(address), dict(info)))
            except (ValueError, TypeError):
                log.warning("endpoint_unreadable", service=service, instance=instance)
        return sorted(found, key=lambda endpoint: endpoint.instance)

    async def keep_announced(
        self, describe: Callable[[], Endpoint], *, every_seconds: float = 1.0, ttl_seconds: float = 4
    ) -> None:
        """Announce what `describe` says, again and again until cancelled, then withdraw it."""
        endpoint = describe()
        try:
            while True:
                try:
                    await self.announce(endpoint, ttl_seconds)
                except RedisError as error:
                    log.warning("endpoint_not_announced", service=endpoint.service, error=type(error).__name__)
                await asyncio.sleep(every_seconds)
                endpoint = describe()
        finally:
            try:
                await self.withdraw(endpoint.service, endpoint.instance)
            except RedisError as error:  # it expires by itself
                log.warning("endpoint_not_withdrawn", service=endpoint.service, error=type(error).__name__)


def _keys(service: str) -> tuple[str, str]:
    return f"endpoints:{{{service}}}:expiries", f"endpoints:{{{service}}}:entries"
