"""Answers kept, sealed, so that a repeated request gets the first one's: claimed before the work, stored after it."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis

from domain.sealing import answer_place
from storage.keys import TenantCipher

LEASE_SECONDS = 60
"""A claim whose process died blocks repeats for at most this long; a living one renews it."""
KEEP_SECONDS = 86_400

# KEYS: the record. ARGV: the owner that must still hold the claim, and what becomes of it.
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"
_STORE = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1 end "
    "return 0"
)
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
CLAIMED = "claim:"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    fingerprint: str
    """Of the request's body."""
    status: int
    headers: dict[str, str]
    body: str | None
    """None where the answer was too large to keep."""


class Replays:
    """Every method raises RedisError. The client must answer in `str`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._renew = redis.register_script(_RENEW)
        self._store = redis.register_script(_STORE)
        self._release = redis.register_script(_RELEASE)

    async def claim(self, key: str, cipher: TenantCipher) -> str | StoredAnswer | None:
        """The owner's name for the first to come, the stored answer for later ones, None while the first is at work.

        Raises Unreadable for an answer that does not open any more.

        A command that the client repeats after a lost connection finds its own claim, since the name is the same.
        """
        owner = CLAIMED + token_hex(16)
        if await self._redis.set(key, owner, nx=True, ex=LEASE_SECONDS):
            return owner
        found: Any = await self._redis.get(key)
        if found == owner:
            return owner
        if found is None or found.startswith(CLAIMED):
            return None
        return StoredAnswer(**json.loads(cipher.open_text(answer_place(key), b64decode(found))))

    async def renew(self, key: str, owner: str) -> bool:
        """False when the claim is lost."""
        return bool(await self._renew(keys=[key], args=[owner, LEASE_SECONDS]))

    async def store(self, key: str, owner: str, answer: StoredAnswer, cipher: TenantCipher) -> bool:
        """False when the claim is lost; then nothing is stored."""
        fields = {name: getattr(answer, name) for name in StoredAnswer.__slots__}
        sealed = b64encode(cipher.seal_text(answer_place(key), json.dumps(fields))).decode()
        return bool(await self._store(keys=[key], args=[owner, sealed, KEEP_SECONDS]))

    async def release(self, key: str, owner: str) -> None:
        await self._release(keys=[key], args=[owner])
