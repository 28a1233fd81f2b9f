"""Token buckets that all processes share: one script takes a token from each of several, or from none."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

# KEYS: the buckets, each a hash of tokens and the time they were counted. ARGV: burst and tokens per second of each.
# The server's clock decides. A bucket that is full again is forgotten. Floats leave a script as text.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local tokens, refused, wait = {}, 0, 0
for i, key in ipairs(KEYS) do
    local burst, rate = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local kept = redis.call('HMGET', key, 'n', 'at')
    local n = tonumber(kept[1]) or burst
    local past = math.max(0, now - (tonumber(kept[2]) or now))
    tokens[i] = math.min(burst, n + past * rate)
    local missing = (1 - tokens[i]) / rate
    if tokens[i] < 1 and missing > wait then
        refused, wait = i, missing
    end
end
local found = {refused, tostring(wait)}
for i, key in ipairs(KEYS) do
    local burst, rate = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    if refused == 0 then
        tokens[i] = tokens[i] - 1
        redis.call('HSET', key, 'n', tostring(tokens[i]), 'at', string.format('%.6f', now))
        redis.call('PEXPIRE', key, math.ceil((burst - tokens[i]) / rate * 1000) + 1000)
    end
    found[i + 2] = tostring(tokens[i])
end
return found
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    key: str
    burst: float
    per_second: float
    """Above zero."""


@dataclass(frozen=True, slots=True)
class Taken:
    refused: Bucket | None
    """The one that was empty for longest; then none has lost a token."""
    wait_seconds: float
    """Until `refused` has a token."""
    remaining: tuple[int, ...]
    """Whole tokens left in each bucket, in the order of the call."""


class TokenBuckets:
    def __init__(self, redis: Redis) -> None:
        self._take = redis.register_script(_TAKE)

    async def take(self, buckets: Sequence[Bucket]) -> Taken:
        """A token from every bucket, or from none of them. Raises RedisError."""
        numbers = [number for bucket in buckets for number in (bucket.burst, bucket.per_second)]
        refused, wait, *tokens = await self._take(keys=[bucket.key for bucket in buckets], args=numbers)
        return Taken(
            buckets[int(refused) - 1] if int(refused) else None,
            float(wait),
            tuple(math.floor(float(found)) for found in tokens),
        )


def bucket_key(kind: str, of: str, subject: str) -> str:
    """Subjects hold e-mail addresses and whatever strangers send: the key is a hash of them."""
    return f"rate:{kind}:{of}:{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()[:32]}"
