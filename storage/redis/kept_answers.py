"""Answers that are kept for questions asked again: one stream per bot, its newest entries, sealed."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgpack
from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from domain.caching.scope import CacheScope, KeptAnswer
from domain.conversation import Citation
from domain.errors import Unreadable
from domain.ids import ChatbotId, DocumentId, SessionId, TenantId
from domain.sealing import kept_answer_place
from storage.keys import TenantCipher

MAX_BYTES = 32_768
"""Of a packed answer with its citations; a longer one is not kept."""
_DIGEST, _TAG, _ASKED, _ANSWER, _SESSION = b"d", b"t", b"q", b"a", b"s"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What a process remembers of a kept answer."""

    id: bytes
    """Of the stream's entry: when it was kept, in milliseconds by the server's clock, and a number."""
    digest: bytes
    """Of the question and its scope."""
    tag: bytes
    """Of the scope."""
    asked: bytes | None
    """The sealed question and its vector, where the bot finds by meaning."""

    @property
    def kept_at_ms(self) -> int:
        return int(self.id.split(b"-")[0])


class KeptAnswers:
    """`kept:<tenant>:<chatbot>`. Methods raise RedisError.

    The client must answer in bytes; for removing it may be any.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(
        self,
        cipher: TenantCipher,
        scope: CacheScope,
        digest: bytes,
        kept: KeptAnswer,
        vector: bytes | None = None,
    ) -> IndexEntry | None:
        """Keep one, and push the oldest beyond the bot's limit out; None for one that is too large.

        `vector` is that of its question, float16, to be found by meaning.
        """
        key, place = _key(scope.tenant_id, scope.chatbot_id), kept_answer_place(scope.chatbot_id, digest)
        packed = msgpack.packb(_packed(scope, kept))
        if len(packed) > MAX_BYTES:
            return None
        fields: dict[Any, Any] = {
            _DIGEST: digest,
            _TAG: scope.tag,
            _ANSWER: cipher.seal(place, packed),
            _SESSION: str(kept.session_id).encode(),
        }
        asked = None
        if vector is not None:
            asked = fields[_ASKED] = cipher.seal(place, msgpack.packb([kept.question, vector]))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(key, fields, maxlen=scope.settings.max_answers, approximate=False)
        oldest = int(time.time() - scope.settings.ttl_seconds) * 1_000
        pipeline.xtrim(key, minid=oldest, approximate=False)
        pipeline.expire(key, scope.settings.ttl_seconds)
        entry = (await pipeline.execute())[0]
        return IndexEntry(entry, digest, scope.tag, asked)

    async def index(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, limit: int, after: bytes | None = None
    ) -> list[IndexEntry]:
        """The newest `limit` entries behind `after`, the oldest first."""
        low = "-" if after is None else b"(" + after
        found: Any = await self._redis.xrevrange(_key(tenant_id, chatbot_id), max="+", min=low, count=limit)
        return [
            IndexEntry(entry, fields[_DIGEST], fields[_TAG], fields.get(_ASKED)) for entry, fields in reversed(found)
        ]

    async def get(self, cipher: TenantCipher, scope: CacheScope, entry: IndexEntry) -> KeptAnswer | None:
        """None when it is gone, or is not of this scope to the letter."""
        found: Any = await self._redis.xrange(_key(scope.tenant_id, scope.chatbot_id), min=entry.id, max=entry.id)
        if not found:
            return None
        place = kept_answer_place(scope.chatbot_id, entry.digest)
        try:
            packed = msgpack.unpackb(cipher.open(place, found[0][1][_ANSWER]))
            return _kept(scope, packed)
        except (Unreadable, ValueError, KeyError, TypeError):
            return None

    async def empty(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> int:
        """Remove all of a bot's; how many there were."""
        key = _key(tenant_id, chatbot_id)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xlen(key)
        pipeline.unlink(key)
        return int((await pipeline.execute())[0])

    async def empty_tenant(self, tenant_id: TenantId) -> int:
        """Remove all of a tenant's; how many there were."""
        return sum([await self.empty(tenant_id, bot) for bot in await self._bots(tenant_id)])

    async def count(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> int:
        return int(await self._redis.xlen(_key(tenant_id, chatbot_id)))

    async def count_of_tenant(self, tenant_id: TenantId) -> int:
        """How many bots have some."""
        return len(await self._bots(tenant_id))

    async def of_sessions(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, sessions: Iterable[str], *, remove: bool
    ) -> int:
        """How many are from these conversations; `remove` removes them."""
        gone = {session.encode() for session in sessions}
        if not gone:
            return 0
        key = _key(tenant_id, chatbot_id)
        read: Any = self._redis.execute_command
        found = await read("XRANGE", key, "-", "+", **{NEVER_DECODE: []})
        ids = [entry for entry, fields in found if fields.get(_SESSION) in gone]
        if remove and ids:
            await self._redis.xdel(key, *ids)
        return len(ids)

    async def retract(self, cipher: TenantCipher, tenant_id: TenantId, chatbot_id: ChatbotId, answer: str) -> int:
        """Remove what says the same to the letter, whatever was asked; how many there were."""
        key = _key(tenant_id, chatbot_id)
        read: Any = self._redis.execute_command
        found = await read("XRANGE", key, "-", "+", **{NEVER_DECODE: []})
        ids = [entry for entry, fields in found if _says(cipher, chatbot_id, fields, answer)]
        return int(await self._redis.xdel(key, *ids)) if ids else 0

    async def _bots(self, tenant_id: TenantId) -> list[ChatbotId]:
        keys = self._redis.scan_iter(f"kept:{tenant_id}:*", count=1_000)
        names = {key.decode() if isinstance(key, bytes) else str(key) async for key in keys}
        return [ChatbotId(UUID(name.split(":")[2])) for name in names]


def opened_question(cipher: TenantCipher, chatbot_id: ChatbotId, entry: IndexEntry) -> tuple[str, bytes] | None:
    """The question of an entry and its vector, float16; None where it does not open."""
    if entry.asked is None:
        return None
    try:
        question, vector = msgpack.unpackb(cipher.open(kept_answer_place(chatbot_id, entry.digest), entry.asked))
    except (Unreadable, ValueError, TypeError):
        return None
    return question, vector


def _says(cipher: TenantCipher, chatbot_id: ChatbotId, fields: dict[bytes, bytes], answer: str) -> bool:
    try:
        packed = cipher.open(kept_answer_place(chatbot_id, fields[_DIGEST]), fields[_ANSWER])
        return bool(msgpack.unpackb(packed)[2] == answer)
    except (Unreadable, ValueError, KeyError, TypeError, IndexError):
        # Nobody can give it either.
        return False


def _key(tenant_id: TenantId, chatbot_id: ChatbotId) -> str:
    return f"kept:{tenant_id}:{chatbot_id}"


def _packed(scope: CacheScope, kept: KeptAnswer) -> list[Any]:
    """With the scope once more, so that whoever reads it can compare."""
    citations = [
        [
            one.position,
            one.document_id.bytes,
            one.document_name,
            one.page,
            one.section,
            one.start,
            one.end,
            one.snippet,
        ]
        for one in kept.citations
    ]
    return [_place(scope), kept.question, kept.answer, kept.model, kept.session_id.bytes, citations]


def _place(scope: CacheScope) -> list[Any]:
    versions = scope.versions
    return [scope.tenant_id.bytes, scope.chatbot_id.bytes, versions.config, versions.knowledge, scope.tag]


def _kept(scope: CacheScope, packed: list[Any]) -> KeptAnswer | None:
    place, question, answer, model, session, citations = packed
    if place != _place(scope):
        return None
    return KeptAnswer(
        question,
        answer,
        tuple(Citation(position, DocumentId(UUID(bytes=document)), *rest) for position, document, *rest in citations),
        model,
        SessionId(UUID(bytes=session)),
    )
