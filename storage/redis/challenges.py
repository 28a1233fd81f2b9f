"""Challenges for a second factor: how often each was tried, and whether it has been answered."""

from secrets import token_hex
from uuid import UUID

from redis.asyncio import Redis

MAX_ATTEMPTS = 5
_SECONDS = 600
"""Longer than a challenge lives."""


class Challenges:
    """Every method raises RedisError. The client must answer in `str`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take_attempt(self, challenge: UUID) -> bool:
        """Count one answer before it is looked at; False when the challenge is dead. Answers that come at once share
        the same count."""
        tried, answered = f"mfa:tried:{challenge}", f"mfa:answered:{challenge}"
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(tried)
            pipe.expire(tried, _SECONDS)
            pipe.exists(answered)
            count, _, over = await pipe.execute()
        return count <= MAX_ATTEMPTS and not over

    async def claim(self, challenge: UUID) -> bool:
        """Answer it, once. A command that the client repeats after a lost connection finds its own claim."""
        key, owner = f"mfa:answered:{challenge}", token_hex(16)
        if await self._redis.set(key, owner, nx=True, ex=_SECONDS):
            return True
        return bool(await self._redis.get(key) == owner)
