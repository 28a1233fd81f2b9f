"""What Redis holds of a tenant, a visitor or a conversation: found by the ids it mentions, and removed."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from domain.errors import Unreadable
from domain.sealing import answer_place
from storage.keys import TenantCipher
from storage.redis.event_log import STREAM
from storage.redis.partition_reader import EVENT_FIELD
from storage.redis.replays import CLAIMED

PAGE = 1_000
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Traces:
    """Every method raises RedisError and may be repeated. The client must answer in `str`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def replayed_turns(self, tenant_id: UUID) -> set[UUID]:
        """The turns whose events are kept."""
        keys = [key async for key in self._keys(f"replay:{tenant_id}:*")]
        return {UUID(key.split(":")[2]) for key in keys}

    async def remove_replays(self, tenant_id: UUID, turns: Iterable[UUID]) -> int:
        """The events of these turns, under every epoch; how many keys."""
        gone = set(turns)
        if not gone:
            return 0
        keys = [key async for key in self._keys(f"replay:{tenant_id}:*") if UUID(key.split(":")[2]) in gone]
        return await self._delete(keys)

    async def remove_all_answers(self, tenant_id: UUID) -> int:
        """Every answer of the tenant's that is kept for `Idempotency-Key`; how many."""
        return await self._delete([key async for key in self._keys(f"idempotency:{tenant_id}:*")])

    async def remove_answers(self, cipher: TenantCipher, needles: frozenset[str]) -> int:
        """Answers that mention one of the needles, and those that do not open; how many."""
        found = [
            key
            async for key in self._keys(f"idempotency:{cipher.tenant_id}:*")
            if _answer_mentions(cipher, key, str(await self._redis.get(key) or CLAIMED), needles)
        ]
        return await self._delete(found)

    async def remove_keys(self, keys: Iterable[str]) -> int:
        """Exactly these; how many there were."""
        return await self._delete(list(keys))

    async def events_about(self, needles: frozenset[str], *, stream: str = STREAM) -> int:
        """Entries of the event log that mention one of the needles."""
        return len([None async for _ in self._entries(needles, stream)])

    async def remove_events(self, needles: frozenset[str], *, stream: str = STREAM) -> int:
        """Remove them; how many."""
        removed = 0
        for key, entry in [found async for found in self._entries(needles, stream)]:
            removed += int(await self._redis.xdel(key, entry))
        return removed

    async def _entries(self, needles: frozenset[str], stream: str) -> AsyncIterator[tuple[str, str]]:
        if not needles:
            return
        async for key in self._keys(f"{stream}:*"):
            if await self._redis.type(key) != "stream":
                continue
            after = "-"
            while page := await self._page(key, after):
                for entry, fields in page:
                    if _mentions(fields.get(EVENT_FIELD, ""), needles):
                        yield key, entry
                after = f"({page[-1][0]}"

    async def _page(self, key: str, after: str) -> list[tuple[str, dict[str, str]]]:
        page: Any = await self._redis.xrange(key, min=after, count=PAGE)
        return list(page)

    async def _keys(self, pattern: str) -> AsyncIterator[str]:
        seen = set()
        async for key in self._redis.scan_iter(match=pattern, count=PAGE):
            if key not in seen:  # a scan may name a key twice
                seen.add(key)
                yield key

    async def _delete(self, keys: list[str]) -> int:
        return int(await self._redis.unlink(*keys)) if keys else 0


def _answer_mentions(cipher: TenantCipher, key: str, value: str, needles: frozenset[str]) -> bool:
    """True also for what does not open: it is of use to nobody. A claim says nothing yet."""
    if value.startswith(CLAIMED):
        return False
    try:
        return _mentions(cipher.open_text(answer_place(key), b64decode(value)), needles)
    except (ValueError, Unreadable):
        return True


def _mentions(text: str, needles: frozenset[str]) -> bool:
    return not needles.isdisjoint(_ID.findall(text))
