"""A provider's public keys by their id: kept for a while, and fetched anew for an id that nobody knows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import structlog
from jwt import PyJWK

from deployments.gateway.oidc.refusals import IdentityInvalid

log = structlog.get_logger()

ALGORITHMS = frozenset(("RS256", "ES256", "EdDSA"))
"""All asymmetric: a public key is never a secret to sign with."""
KEEP_SECONDS = 3_600.0
"""How long a key counts that the provider may have withdrawn."""
PAUSE_SECONDS = 30.0
"""Between two looks for ids that are not there."""
_MAX_KEYS = 100


class SigningKeys:
    """`fetch` gives the provider's JWK set; `clock` counts seconds."""

    def __init__(
        self, fetch: Callable[[], Awaitable[dict[str, Any]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at: float | None = None
        self._looked_at = 0.0
        self._lock = asyncio.Lock()

    async def find(self, key_id: str, algorithm: str) -> PyJWK:
        """Raises IdentityInvalid for an unknown id or another algorithm than the key's, Unavailable when the provider
        does not give its keys."""
        async with self._lock:
            now = self._clock()
            if self._fetched_at is None or now - self._fetched_at >= KEEP_SECONDS:
                await self._renew()
            elif key_id not in self._keys and now - self._looked_at >= PAUSE_SECONDS:
                # The provider may have changed its keys since.
                await self._renew()
            key = self._keys.get(key_id)
        if key is None or key.algorithm_name != algorithm:
            raise IdentityInvalid
        return key

    async def _renew(self) -> None:
        self._looked_at = self._clock()
        found = (await self._fetch()).get("keys")
        self._keys = _read(found if isinstance(found, list) else [])
        self._fetched_at = self._clock()


def _read(rows: list[Any]) -> dict[str, PyJWK]:
    """The keys that can verify; others, of kinds that we do not know, are none of our business."""
    keys: dict[str, PyJWK] = {}
    for row in rows[:_MAX_KEYS]:
        if not isinstance(row, dict) or not isinstance(row.get("kid"), str) or row.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK.from_dict(row)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            log.warning("oidc.key_unreadable", error=type(error).__name__)
            continue
        if key.algorithm_name in ALGORITHMS and row["kid"] not in keys:
            keys[row["kid"]] = key
    return keys
