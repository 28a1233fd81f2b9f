"""VectorStore: whole documents in and out of a chatbot's LanceDB table, and hybrid search over it."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import lancedb
import numpy as np
from lancedb.index import FTS
from lancedb.query import MatchQuery
from numpy.typing import NDArray

from domain.documents import Chunk, Passage
from domain.fusion import fuse_ranks
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.vectors.places import database_of, has_no_database, root_of
from storage.vectors.rows import PASSAGE_COLUMNS, passage_of, rows_of, table_schema

OPEN_TABLES = 512
QUERY_WORDS = 64
QUERY_CHARS = 4_000
INDEX_CACHE_BYTES = 256 * 1024 * 1024
METADATA_CACHE_BYTES = 64 * 1024 * 1024
TEXT_INDEX = "text_idx"
UNINDEXED_ROWS = 64
KEEP_VERSIONS = timedelta(hours=1)
"""Longer than any search that may still read an older version."""
PURGE_AGE = timedelta(milliseconds=1)
_WORD = re.compile(r"\w+")
_KEY = tuple[str, str]


class VectorStore:
    """Any number of processes may search; a table has one writing process, in which writes take turns.

    Search is exact: no vector index, so recall is 1 at a cost linear in the bot's chunks.
    """

    def __init__(self, objects_url: str, dimension: int | None = None) -> None:
        """`dimension` is what vectors must have; unset, a table takes it from its first document."""
        self._root = root_of(objects_url)
        self._dimension = dimension
        self._caches: Any = lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
        self._tables: OrderedDict[_KEY, Any] = OrderedDict()
        self._locks: WeakValueDictionary[_KEY, asyncio.Lock] = WeakValueDictionary()

    async def add_document(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        document_id: DocumentId,
        name: str,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
    ) -> None:
        """Put the document's chunks in place of its earlier ones, in one commit that readers see whole.

        `vectors` has shape (len(chunks), dimension), finite. Raises ValueError when it has not.
        """
        key, document = _key(tenant_id, chatbot_id), _opaque(document_id)
        rows = rows_of(document, name, chunks, vectors)
        dimension = vectors.shape[1]
        if dimension != (self._dimension or dimension):
            raise ValueError(f"vectors must have {self._dimension} numbers, not {dimension}")
        async with self._lock(key):
            table = await self._open_or_create(key, dimension)
            # Delete and insert as one merge, for they would be two versions otherwise.
            merge = table.merge_insert(["document_id", "ordinal"]).when_matched_update_all()
            merge = merge.when_not_matched_insert_all().when_not_matched_by_source_delete(f"document_id = '{document}'")
            await merge.execute(rows)

    async def remove_document(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> None:
        """Remove every chunk of the document; one that is not there is no error."""
        key, document = _key(tenant_id, chatbot_id), _opaque(document_id)
        async with self._lock(key):
            table = await self._open(key, fresh=True)
            if table is not None:
                await table.delete(f"document_id = '{document}'")

    async def remove_chatbot(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Remove the bot's table with its files; one that is not there is no error."""
        key = _key(tenant_id, chatbot_id)
        async with self._lock(key):
            self._tables.pop(key, None)
            database = await self._database(key)
            try:
                await database.drop_table(key[1])
            except (ValueError, RuntimeError) as error:
                if not _is_missing(error):
                    raise

    async def remove_tenant(self, tenant_id: TenantId) -> int:
        """Remove every table of the tenant with its files; how many."""
        chatbots = await self.tables(tenant_id)
        for chatbot_id in chatbots:
            await self.remove_chatbot(tenant_id, chatbot_id)
        return len(chatbots)

    async def purge(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Take what was removed off the disk: only the present rows' files stay, of one version.

        Compaction leaves files with few deleted rows: so all is written anew. Readers of older versions look again.
        """
        key = _key(tenant_id, chatbot_id)
        async with self._lock(key):
            table = await self._open(key, fresh=True)
            if table is None:
                return
            if not await table.count_rows():
                self._tables.pop(key, None)
                await (await self._database(key)).drop_table(key[1])
                return
            await table.update(updates_sql={"ordinal": "ordinal"})
            await table.create_index("text", config=_text_index(), name=TEXT_INDEX, replace=True)
            # What is younger than a millisecond is kept.
            while True:
                await asyncio.sleep(PURGE_AGE.total_seconds() * 2)
                await table.optimize(cleanup_older_than=PURGE_AGE, delete_unverified=True)
                if len(await table.list_versions()) == 1:
                    break

    async def tables(self, tenant_id: TenantId) -> list[ChatbotId]:
        """The chatbots that have a table."""
        if has_no_database(self._root, tenant_id):
            return []  # connecting would make its folder
        database = await self._database((_opaque(tenant_id), ""))
        return [ChatbotId(UUID(name)) for name in (await database.list_tables()).tables]

    async def remains(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> int:
        """Chunks of the document in any version that is kept, searchable or not."""
        key, where = _key(tenant_id, chatbot_id), f"document_id = '{_opaque(document_id)}'"
        async with self._lock(key):
            try:
                table = await (await self._database(key)).open_table(key[1])
            except (ValueError, RuntimeError) as error:
                if not _is_missing(error):
                    raise
                return 0
            found = 0
            for version in await table.list_versions():
                await table.checkout(version["version"])
                found += int(await table.count_rows(where))
            return found

    async def optimize(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Merge small fragments, bring the full-text index up to date and drop old versions, when it is worth it.

        Rows that the index does not have are searched one by one, so they may be few beside the indexed ones; the
        whole table is written anew, so that must not happen for every document.
        """
        key = _key(tenant_id, chatbot_id)
        async with self._lock(key):
            table = await self._open(key, fresh=True)
            stats = None if table is None else await table.index_stats(TEXT_INDEX)
            if table is None or stats is None:
                return
            if stats.num_unindexed_rows >= max(UNINDEXED_ROWS, stats.num_indexed_rows // 10):
                await table.optimize(cleanup_older_than=KEEP_VERSIONS)

    async def count(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId | None = None) -> int:
        """Chunks of the bot, or of one of its documents."""
        table = await self._open(_key(tenant_id, chatbot_id), fresh=True)
        where = None if document_id is None else f"document_id = '{_opaque(document_id)}'"
        return 0 if table is None else int(await table.count_rows(where))

    async def search(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        question: str,
        vector: Sequence[float] | NDArray[np.float32],
        *,
        top_k: int,
        min_score: float,
    ) -> list[Passage]:
        """Up to `top_k` passages, best first: vector and full-text ranks fused.

        Only passages with cosine similarity to `vector` of at least `min_score` count, however they were found.
        Empty for a bot without documents. Raises ValueError for a vector that cannot be one of this model.
        """
        query = np.asarray(vector, dtype=np.float32)
        if query.ndim != 1 or len(query) != (self._dimension or len(query)) or not np.isfinite(query).all():
            raise ValueError("the query must be one finite vector of the model's dimension")
        length = float(np.linalg.norm(query))
        if length == 0.0:
            return []
        query = query / length
        key = _key(tenant_id, chatbot_id)
        for fresh in (False, True):
            table = await self._open(key, fresh=fresh)
            if table is None:
                return []
            try:
                found = await self._candidates(table, question, query, max(4 * top_k, 20))
            except RuntimeError as error:
                # The table was dropped, and perhaps made anew, under the handle that we kept.
                self._tables.pop(key, None)
                if fresh or not _is_missing(error):
                    raise
            else:
                return _best(found, query, top_k, min_score)
        return []

    async def _candidates(
        self, table: Any, question: str, query: NDArray[np.float32], depth: int
    ) -> list[list[dict[str, Any]]]:
        by_vector = table.query().nearest_to(query).distance_type("cosine").select([*PASSAGE_COLUMNS, "_distance"])
        searches = [by_vector.limit(depth).to_list()]
        if words := _words(question):
            # A query object and never the query language: the visitor's text holds no operators.
            match: Any = MatchQuery
            by_text = table.query().nearest_to_text(match(words, "text")).select([*PASSAGE_COLUMNS, "_score"])
            searches.append(by_text.limit(depth).to_list())
        return list(await asyncio.gather(*searches))

    def _lock(self, key: _KEY) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _database(self, key: _KEY) -> Any:
        # A read looks for a newer version first, so that a document is found as soon as it is committed.
        return await lancedb.connect_async(
            database_of(self._root, key[0]), read_consistency_interval=timedelta(0), session=self._caches
        )

    async def _open(self, key: _KEY, *, fresh: bool = False) -> Any | None:
        """The bot's table, or None when it has none; `fresh` ignores a handle that was kept."""
        if not fresh and (table := self._tables.get(key)) is not None:
            self._tables.move_to_end(key)
            return table
        try:
            table = await (await self._database(key)).open_table(key[1])
        except (ValueError, RuntimeError) as error:
            if not _is_missing(error):
                raise
            self._tables.pop(key, None)
            return None
        self._tables[key] = table
        if len(self._tables) > OPEN_TABLES:
            self._tables.popitem(last=False)
        return table

    async def _open_or_create(self, key: _KEY, dimension: int) -> Any:
        table = await self._open(key, fresh=True)
        if table is None:
            database = await self._database(key)
            table = await database.create_table(key[1], schema=table_schema(dimension), exist_ok=True)
        if not await table.list_indices():
            # Younger rows are searched without the index.
            await table.create_index("text", config=_text_index(), name=TEXT_INDEX)
        return table


def _text_index() -> FTS:
    # ICU finds words also in scripts without spaces. Its stop words are of so many languages that "dog" is one of them;
    # BM25 gives common words little weight anyway.
    return FTS(base_tokenizer="icu/split", remove_stop_words=False)


def _opaque(identifier: UUID | str) -> str:
    """The canonical text of a UUID, the only thing that enters a path or a filter. Raises ValueError."""
    return str(UUID(str(identifier)))


def _key(tenant_id: TenantId, chatbot_id: ChatbotId) -> _KEY:
    return _opaque(tenant_id), _opaque(chatbot_id)


def _words(question: str) -> str:
    """The question's distinct words, bounded, for a visitor may send thousands of them."""
    words = dict.fromkeys(_WORD.findall(question[:QUERY_CHARS].lower()))
    return " ".join(list(words)[:QUERY_WORDS])


def _is_missing(error: Exception) -> bool:
    return "not found" in str(error).lower()


def _best(found: list[list[dict[str, Any]]], query: NDArray[np.float32], top_k: int, min_score: float) -> list[Passage]:
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    similarity: dict[tuple[str, int], float] = {}
    for row in (row for ranking in found for row in ranking):
        key = (row["document_id"], row["ordinal"])
        if key not in rows:
            vector = np.asarray(row["vector"], dtype=np.float32)
            rows[key] = row
            similarity[key] = float(vector @ query / max(float(np.linalg.norm(vector)), 1e-12))
    rankings = [
        [key for row in ranking if similarity[key := (row["document_id"], row["ordinal"])] >= min_score]
        for ranking in found
    ]
    fused = list(fuse_ranks(rankings).items())[:top_k]
    return [passage_of(rows[key], similarity[key], score) for key, score in fused]
