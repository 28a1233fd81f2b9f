"""AnswerCache of a session host: finds kept answers by an index in memory, and keeps new ones beside the turns.

A question that was not asked before costs no call: the index says so. What it finds is fetched from Redis, so that an
answer that was removed there is given no more. Equal questions at the same time are each answered: whoever waited for
the first would see nothing of it before its end.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from hashlib import blake2b

import numpy as np
import structlog
from redis.exceptions import RedisError

from actors.answer_index import AnswerIndex
from actors.remembered_queries import CountedQueries
from actors.remote_embedding import RemoteEmbedding
from domain.caching.exact import exact_form
from domain.caching.scope import CacheHit, CacheScope, KeptAnswer
from domain.caching.wording import Wording
from domain.errors import AppError
from domain.ids import ChatbotId, TenantId
from domain.metering import Meter
from domain.ports import QueryEmbedder
from storage.keys import TenantCipher
from storage.postgres.database import Database
from storage.postgres.tenant_keys import keys_of
from storage.redis.kept_answers import IndexEntry, KeptAnswers

log = structlog.get_logger()

AWAY_SECONDS = 5.0
"""How long nothing is looked for after Redis did not answer."""
REFRESH_SECONDS = 30.0
"""How old an index may get before what others kept is added: turns of a tenant run in one process as a rule."""
CLOCK_SECONDS = 60.0
"""How far Redis's clock may be ahead of ours."""
MAX_INDEXED = 20_000
"""Entries in memory, of all bots; about 50 MB."""
MAX_WAITING = 256
"""Answers that wait to be kept."""

EmbedderOf = Callable[[str], QueryEmbedder]
Count = Callable[[str], None]


def _count_nothing(outcome: str) -> None:
    """Nobody counts."""


class RedisAnswers:
    def __init__(
        self,
        kept: KeptAnswers,
        db: Database,
        embedder_of: EmbedderOf,
        secret: str,
        count: Count = _count_nothing,
        remote: RemoteEmbedding | None = None,
    ) -> None:
        """`secret` keys the digests of questions; `count` is called with `exact`, `semantic` or `miss`. `remote` counts
        what embedding costs."""
        self._remote = remote
        self._kept = kept
        self._db = db
        self._embedder_of = embedder_of
        self._key = blake2b(secret.encode(), digest_size=32, person=b"kept-answers").digest()
        self._count = count
        self._indexes: OrderedDict[tuple[TenantId, ChatbotId], AnswerIndex] = OrderedDict()
        self._loading: dict[tuple[TenantId, ChatbotId], asyncio.Task[AnswerIndex]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._away_until = 0.0

    async def find(self, scope: CacheScope, question: str, meter: Meter | None = None) -> CacheHit | None:
        """The answer that was kept in this scope for the same question; None also when a part is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            hit = await self._find(scope, question, meter)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("answers.away", error=type(error).__name__)
            return None
        except Exception as error:  # noqa: BLE001 - a question has to be answered whatever is kept
            log.warning("answers.not_found", error=repr(error))
            return None
        self._count(hit.match if hit else "miss")
        return hit

    def keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        """In a task; what fails is lost."""
        if len(self._tasks) < MAX_WAITING:
            self._start(self._keep(scope, kept))

    def forget(self, tenant_id: TenantId) -> None:
        """Let go of what is in memory of a tenant's questions."""
        for place in [place for place in self._indexes if place[0] == tenant_id]:
            del self._indexes[place]

    async def settled(self) -> None:
        """Returns when what was under way beside the turns has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._tasks, *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, scope: CacheScope, question: str, meter: Meter | None) -> CacheHit | None:
        cipher = await keys_of(self._db, scope.tenant_id)
        index = await self._index(scope, cipher)
        entry = index.same_words(self._digest(scope, question))
        if entry is not None and (kept := await self._fetch(index, scope, cipher, entry)) is not None:
            return CacheHit(kept, "exact")
        if scope.settings.mode != "semantic" or not len(index):
            return None
        embedder = CountedQueries(self._embedder_of(scope.embedding_model), self._remote, scope.embedding_model)
        [vector] = await embedder.embed([question])
        if meter is not None:
            for call in embedder.calls:
                meter.record(call)
        near = index.alike(cipher, scope.chatbot_id, scope.tag, vector, scope.settings.threshold)
        wording = Wording.of(question) if near else None
        for entry, asked, similarity in near:
            if wording is None or not wording.asks_the_same(Wording.of(asked)):
                continue
            if (kept := await self._fetch(index, scope, cipher, entry)) is not None:
                return CacheHit(kept, "semantic", min(similarity, 1.0))
        return None

    async def _fetch(
        self, index: AnswerIndex, scope: CacheScope, cipher: TenantCipher, entry: IndexEntry
    ) -> KeptAnswer | None:
        """The answer while it is fresh; an entry that has none is forgotten."""
        age = time.time() - entry.kept_at_ms / 1_000
        if -CLOCK_SECONDS <= age <= scope.settings.ttl_seconds:
            kept = await self._kept.get(cipher, scope, entry)
            if kept is not None:
                return kept
        index.drop(entry)
        return None

    async def _keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        try:
            vector = None
            if scope.settings.mode == "semantic":
                [found] = await self._embedder_of(scope.embedding_model).embed([kept.question])
                vector = np.asarray(found, dtype=np.float16).tobytes()
            cipher = await keys_of(self._db, scope.tenant_id)
            index = await self._index(scope, cipher)
            entry = await self._kept.add(cipher, scope, self._digest(scope, kept.question), kept, vector)
            if entry is not None:
                index.add(cipher, scope.chatbot_id, (entry,), scope.settings.max_answers)
        except (RedisError, OSError, AppError) as error:
            log.warning("answers.not_kept", tenant=str(scope.tenant_id), error=type(error).__name__)

    async def _index(self, scope: CacheScope, cipher: TenantCipher) -> AnswerIndex:
        """The bot's, read from Redis on first use, and once in a while beside the turns. Raises RedisError."""
        place = scope.tenant_id, scope.chatbot_id
        index = self._indexes.get(place)
        if index is not None:
            self._indexes.move_to_end(place)
            if time.monotonic() - index.read_at > REFRESH_SECONDS:
                index.read_at = time.monotonic()
                self._start(self._refresh(index, scope, cipher))
            return index
        loading = self._loading.get(place)
        if loading is None:
            loading = self._loading[place] = asyncio.create_task(self._load(scope, cipher))
            loading.add_done_callback(lambda _: self._loading.pop(place, None))
        return await asyncio.shield(loading)

    async def _load(self, scope: CacheScope, cipher: TenantCipher) -> AnswerIndex:
        index = AnswerIndex()
        await self._read(index, scope, cipher)
        self._indexes[scope.tenant_id, scope.chatbot_id] = index
        while len(self._indexes) > 1 and sum(len(one) + 1 for one in self._indexes.values()) > MAX_INDEXED:
            self._indexes.popitem(last=False)
        return index

    async def _refresh(self, index: AnswerIndex, scope: CacheScope, cipher: TenantCipher) -> None:
        try:
            await self._read(index, scope, cipher)
        except (RedisError, OSError) as error:
            log.warning("answers.not_read", tenant=str(scope.tenant_id), error=type(error).__name__)

    async def _read(self, index: AnswerIndex, scope: CacheScope, cipher: TenantCipher) -> None:
        limit = scope.settings.max_answers
        found = await self._kept.index(scope.tenant_id, scope.chatbot_id, limit, index.last)
        index.add(cipher, scope.chatbot_id, found, limit)
        index.read_at = time.monotonic()

    def _digest(self, scope: CacheScope, question: str) -> bytes:
        return blake2b(
            scope.tag + exact_form(question).encode("utf-8", "replace"), digest_size=16, key=self._key
        ).digest()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
