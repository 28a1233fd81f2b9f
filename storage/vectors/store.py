"""VectorStore: whole documents in and out of a chatbot's LanceDB tables, and their indexes."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
from lancedb.index import FTS
from numpy.typing import NDArray

from domain.documents import Chunk, Passage
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import RetrievalRequest
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from storage.vectors.indexing import IndexPolicy, drop_index, refresh_index
from storage.vectors.rows import rows_of, table_schema
from storage.vectors.search import VectorSearch
from storage.vectors.tables import TableKey, Tables, opaque, table_key

TEXT_INDEX = "text_idx"
UNINDEXED_ROWS = 64
KEEP_VERSIONS = timedelta(hours=1)
"""Longer than any search that may still read an older version."""
PURGE_AGE = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document's chunks with their vectors, of shape (len(chunks), dimension) and finite."""

    document_id: DocumentId
    name: str
    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32]


class VectorStore:
    """A table has one writing process, in which writes take turns."""

    def __init__(self, objects_url: str, dimension: int | None = None, policy: IndexPolicy | None = None) -> None:
        """`dimension` is what vectors must have; unset, a table takes it from its first document."""
        self._tables = Tables(objects_url)
        self.searching = VectorSearch(self._tables, dimension)
        self._dimension = dimension
        self._policy = policy or IndexPolicy()
        self._locks: WeakValueDictionary[TableKey, asyncio.Lock] = WeakValueDictionary()

    async def add_document(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        document_id: DocumentId,
        name: str,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        *,
        generation: int = 0,
    ) -> None:
        """Put the document's chunks in place of its earlier ones, in one commit that readers see whole.

        `vectors` has shape (len(chunks), dimension), finite. Raises ValueError when it has not.
        """
        new = NewDocument(document_id, name, chunks, vectors)
        await self.add_documents(tenant_id, chatbot_id, [new], generation=generation)

    async def add_documents(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        documents: Sequence[NewDocument],
        *,
        generation: int = 0,
    ) -> None:
        """As `add_document`, several in one commit: all of them or, when it fails, none."""
        if not documents:
            return
        key = table_key(tenant_id, chatbot_id, generation)
        rows = pa.concat_tables(
            [rows_of(opaque(one.document_id), one.name, one.chunks, one.vectors) for one in documents]
        )
        dimension = documents[0].vectors.shape[1]
        if dimension != (self._dimension or dimension):
            raise ValueError(f"vectors must have {self._dimension} numbers, not {dimension}")
        theirs = _of(one.document_id for one in documents)
        async with self._lock(key):
            table = await self._open_or_create(key, dimension)
            # Delete and insert as one merge, for they would be two versions otherwise.
            merge = table.merge_insert(["document_id", "ordinal"]).when_matched_update_all()
            merge = merge.when_not_matched_insert_all().when_not_matched_by_source_delete(theirs)
            await merge.execute(rows)

    async def rename_document(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId, name: str
    ) -> None:
        """Give the document's chunks another name in every generation; one that is not there is no error."""
        where = f"document_id = '{opaque(document_id)}'"
        for key in await self._tables.of_bot(tenant_id, chatbot_id):
            async with self._lock(key):
                table = await self._open(key)
                if table is not None:
                    await table.update({"document_name": name}, where=where)

    async def remove_document(self, tenant_id: TenantId, chatbot_id: ChatbotId, *document_ids: DocumentId) -> None:
        """Remove every chunk of these documents, one at least, from every generation in one commit; one that is not
        there is no error."""
        where = _of(document_ids)
        for key in await self._tables.of_bot(tenant_id, chatbot_id):
            async with self._lock(key):
                table = await self._open(key)
                # A deletion of nothing would be a write as well, for which a full disk has no room.
                if table is not None and await table.count_rows(where):
                    await table.delete(where)

    async def remove_chatbot(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Remove the bot's tables with their files; none there is no error."""
        for key in await self._tables.of_bot(tenant_id, chatbot_id):
            async with self._lock(key):
                await self._tables.drop(key)

    async def remove_generation(self, tenant_id: TenantId, chatbot_id: ChatbotId, generation: int) -> None:
        """Remove one table of the bot with its files; one that is not there is no error."""
        key = table_key(tenant_id, chatbot_id, generation)
        async with self._lock(key):
            if key in await self._tables.of_bot(tenant_id, chatbot_id):
                await self._tables.drop(key)

    async def remove_tenant(self, tenant_id: TenantId) -> int:
        """Remove every table of the tenant with its files; how many."""
        places = await self._tables.of_tenant(tenant_id)
        for chatbot_id in {chatbot_id for chatbot_id, _ in places}:
            await self.remove_chatbot(tenant_id, chatbot_id)
        return len(places)

    async def purge(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Take what was removed off the disk: only the present rows' files stay, of one version of each table.

        Compaction leaves files with few deleted rows: so all is written anew. Readers of older versions look again.
        """
        for key in await self._tables.of_bot(tenant_id, chatbot_id):
            await self._purge(key)

    async def _purge(self, key: TableKey) -> None:
        async with self._lock(key):
            table = await self._open(key)
            if table is None:
                return
            if not await table.count_rows():
                await self._tables.drop(key)
                return
            had_index = await drop_index(table)
            await table.update(updates_sql={"ordinal": "ordinal"})
            await table.create_index("text", config=_text_index(), name=TEXT_INDEX, replace=True)
            # What is younger than a millisecond is kept.
            while True:
                await asyncio.sleep(PURGE_AGE.total_seconds() * 2)
                await table.optimize(cleanup_older_than=PURGE_AGE, delete_unverified=True)
                if len(await table.list_versions()) == 1:
                    break
            if had_index:
                await refresh_index(table, self._policy)

    async def tables(self, tenant_id: TenantId) -> list[ChatbotId]:
        """The chatbots that have a table, of whatever generation."""
        return list(dict.fromkeys(chatbot_id for chatbot_id, _ in await self._tables.of_tenant(tenant_id)))

    async def generations(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> list[int]:
        """The generations of the bot that have a table."""
        places = await self._tables.of_tenant(tenant_id)
        return [generation for one, generation in places if one == chatbot_id]

    async def remains(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> int:
        """Chunks of the document in any version of any generation that is kept, searchable or not."""
        where = f"document_id = '{opaque(document_id)}'"
        return sum([await self._remains(key, where) for key in await self._tables.of_bot(tenant_id, chatbot_id)])

    async def _remains(self, key: TableKey, where: str) -> int:
        async with self._lock(key):
            table = await self._open(key)
            if table is None:
                return 0
            # Nobody is to search in the versions that this handle goes through.
            self._tables.forget(key)
            found = 0
            for version in await table.list_versions():
                await table.checkout(version["version"])
                found += int(await table.count_rows(where))
            return found

    async def optimize(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, *, generation: int = 0, thorough: bool = False
    ) -> None:
        """Merge small fragments, bring the indexes up to date and drop old versions, when it is worth it.

        Rows that the index does not have are searched one by one, so they may be few beside the indexed ones; the
        whole table is written anew, so that must not happen for every document. `thorough` is for times when nobody
        waits for the table: then whatever is untidy is worth it.
        """
        key = table_key(tenant_id, chatbot_id, generation)
        async with self._lock(key):
            table = await self._open(key)
            stats = None if table is None else await table.index_stats(TEXT_INDEX)
            if table is None or stats is None:
                return
            worth_it = stats.num_unindexed_rows >= max(UNINDEXED_ROWS, stats.num_indexed_rows // 10)
            if worth_it or (thorough and (stats.num_unindexed_rows or len(await table.list_versions()) > 1)):
                await table.optimize(cleanup_older_than=KEEP_VERSIONS)
            await refresh_index(table, self._policy)

    async def count(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        document_id: DocumentId | None = None,
        *,
        generation: int | None = None,
    ) -> int:
        """Chunks of the bot, or of one of its documents, in a generation; unset, in all of them together."""
        where = None if document_id is None else f"document_id = '{opaque(document_id)}'"
        keys = [table_key(tenant_id, chatbot_id, generation or 0)]
        if generation is None:
            keys = await self._tables.of_bot(tenant_id, chatbot_id)
        tables = [table for key in keys if (table := await self._open(key)) is not None]
        return sum([int(await table.count_rows(where)) for table in tables])

    async def search(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        question: str,
        vector: Sequence[float] | NDArray[np.float32],
        *,
        top_k: int,
        min_score: float,
        generation: int = 0,
    ) -> list[Passage]:
        """Up to `top_k` passages, best first: vector and full-text ranks fused, and nothing else of a retrieval.

        Only passages with cosine similarity to `vector` of at least `min_score` count, however they were found.
        Empty for a bot without documents. Raises ValueError for a vector that cannot be one of this model.
        """
        config = RetrievalConfig(
            top_k=top_k,
            candidates=max(4 * top_k, 20),
            min_score=min_score,
            min_relevance=0.0,
            near_duplicates=None,
            rewrite="off",
        )
        given = _Given(np.asarray(vector, dtype=np.float32).tolist())
        request = RetrievalRequest(tenant_id, chatbot_id, question, config)
        return (await retrieve(request, RetrievalPorts(given, self.searching.of(generation)))).passages

    def _lock(self, key: TableKey) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _open(self, key: TableKey) -> Any | None:
        """The bot's table as it is now, or None when it has none."""
        opened = await self._tables.open(key, fresh=True)
        return None if opened is None else opened.table

    async def _open_or_create(self, key: TableKey, dimension: int) -> Any:
        table = await self._open(key)
        if table is None:
            database = await self._tables.database(key[0])
            table = await database.create_table(key[1], schema=table_schema(dimension), exist_ok=True)
        if TEXT_INDEX not in {index.name for index in await table.list_indices()}:
            # Younger rows are searched without the index.
            await table.create_index("text", config=_text_index(), name=TEXT_INDEX)
        return table


@dataclass(frozen=True, slots=True)
class _Given:
    """The QueryEmbedder of one vector that is there already."""

    vector: list[float]

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.vector for _ in texts]


def _of(document_ids: Iterable[DocumentId]) -> str:
    """The filter for chunks of these documents, at least one. Raises ValueError for what is no id."""
    listed = ", ".join(f"'{opaque(one)}'" for one in document_ids)
    return f"document_id in ({listed})"


def _text_index() -> FTS:
    # ICU finds words also in scripts without spaces. Its stop words are of so many languages that "dog" is one of them;
    # BM25 gives common words little weight anyway.
    return FTS(base_tokenizer="icu/split", remove_stop_words=False)
