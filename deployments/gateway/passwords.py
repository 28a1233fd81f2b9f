"""Argon2id in threads, a few at a time, so that log-ins cannot take all memory or block the loop."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import Unavailable

T = TypeVar("T")
_AT_ONCE = 2
_WAITING = 64


class Passwords:
    """19 MiB, two passes, one lane. Source: OWASP Password Storage Cheat Sheet, Argon2id."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._pending = 0
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Raises Unavailable when too many log-ins wait already."""
        return await self._run(self._hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether they match. Without a hash it takes as long, so that time does not tell who has an account."""
        return await self._run(self._verify, password_hash, password)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        if self._pending >= _WAITING:
            raise Unavailable("Too many people sign in at the moment; try again.", retry_after=2)
        self._pending += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, *args)
        finally:
            self._pending -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        if self._decoy is None:
            self._decoy = self._hasher.hash("nobody's password")
        try:
            matches = self._hasher.verify(password_hash or self._decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return matches and password_hash is not None
