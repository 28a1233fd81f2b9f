"""VectorSearch: the chunks of a chatbot that are nearest to a vector, and those that share words with a question."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import reduce
from operator import or_
from typing import Any, Self, TypeVar

import numpy as np
from lancedb.expr import Expr, col, lit
from lancedb.query import MatchQuery
from numpy.typing import NDArray

from domain.documents import Passage
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.retrieval.result import Candidates, ChunkKey, ChunkQuery
from domain.words import WORD
from storage.vectors.rows import CHUNK_COLUMNS, key_of, passage_of, vectors_of
from storage.vectors.tables import OpenTable, TableKey, Tables, Tuning, is_missing, opaque, table_key

QUERY_WORDS = 64
QUERY_CHARS = 4_000
LAST_CHARACTER = "\U0010ffff"
_Result = TypeVar("_Result")


class VectorSearch:
    """The real ChunkSearch. Any number of processes may search, whoever writes meanwhile.

    Search is exact, with recall 1 at a cost linear in the bot's chunks, unless the table says that it has a vector
    index that has passed its gate; a filter makes it exact again, over what it lets through.
    """

    def __init__(self, tables: Tables, dimension: int | None = None, generation: int = 0) -> None:
        """`dimension` is what vectors must have; unset, any that the table has."""
        self._tables = tables
        self._dimension = dimension
        self._generation = generation

    @classmethod
    def over(cls, objects_url: str) -> Self:
        """For a process that only searches."""
        return cls(Tables(objects_url))

    def of(self, generation: int) -> Self:
        """The same in another generation of the bots' knowledge."""
        return type(self)(self._tables, self._dimension, generation)

    async def find(self, query: ChunkQuery) -> Candidates:
        """The best `query.depth` chunks of each search; none for a bot without documents.

        Raises ValueError for a vector that cannot be one of this model.
        """
        key = table_key(query.tenant_id, query.chatbot_id, self._generation)
        vector = None if query.vector is None else self._unit(query.vector)
        where = _filter_of(query)
        if query.documents is not None and not query.documents:
            return Candidates()
        if vector is not None and not vector.any():
            return Candidates()

        async def search(opened: OpenTable) -> Candidates:
            by_vector: Any = None
            by_text: Any = None
            async with asyncio.TaskGroup() as searches:
                if vector is not None:
                    tuning = None if where is not None else await opened.tuning()
                    rows = _nearest(opened.table, vector, tuning, where).limit(query.depth).to_arrow()
                    by_vector = searches.create_task(rows)
                if query.text and (words := _words(query.text)):
                    rows = _matching(opened.table, words, where, with_vector=vector is not None)
                    by_text = searches.create_task(rows.limit(query.depth).to_arrow())
            return _candidates(by_vector and by_vector.result(), by_text and by_text.result(), vector)

        return await self._look(key, search) or Candidates()

    async def chunks(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, keys: Collection[ChunkKey]
    ) -> dict[ChunkKey, Passage]:
        """These chunks, as far as they are there; their similarity and score are 0."""
        ordinals: dict[DocumentId, list[int]] = {}
        for document_id, ordinal in keys:
            ordinals.setdefault(document_id, []).append(int(ordinal))
        if not ordinals:
            return {}
        wanted = [
            (col("document_id") == lit(opaque(document_id))) & col("ordinal").isin(places)
            for document_id, places in ordinals.items()
        ]

        async def read(opened: OpenTable) -> dict[ChunkKey, Passage]:
            rows = await opened.table.query().where(reduce(or_, wanted)).select(CHUNK_COLUMNS).to_arrow()
            return {key_of(row): passage_of(row, 0.0, 0.0) for row in rows.to_pylist()}

        return await self._look(table_key(tenant_id, chatbot_id, self._generation), read) or {}

    async def sample(self, tenant_id: TenantId, chatbot_id: ChatbotId, most: int) -> list[Passage]:
        """Up to `most` chunks from all over the table, the same ones as long as it does not change."""

        async def read(opened: OpenTable) -> list[Passage]:
            rows = int(await opened.table.count_rows())
            places = sorted({int(place) for place in np.linspace(0, rows - 1, min(most, rows))}) if rows else []
            if not places:
                return []
            taken = await opened.table.take_offsets(places).select(CHUNK_COLUMNS).to_arrow()
            return [passage_of(row, 0.0, 0.0) for row in taken.to_pylist()]

        return await self._look(table_key(tenant_id, chatbot_id, self._generation), read) or []

    async def _look(self, key: TableKey, action: Callable[[OpenTable], Awaitable[_Result]]) -> _Result | None:
        """None for a bot without a table."""
        for fresh in (False, True):
            opened = await self._tables.open(key, fresh=fresh)
            if opened is None:
                return None
            try:
                return await action(opened)
            except (RuntimeError, ExceptionGroup) as error:
                # The table was dropped, and perhaps made anew, under the handle that we kept.
                self._tables.forget(key)
                cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                if fresh or not isinstance(cause, RuntimeError) or not is_missing(cause):
                    raise cause from None
        return None

    def _unit(self, vector: Sequence[float] | NDArray[np.float32]) -> NDArray[np.float32]:
        query = np.asarray(vector, dtype=np.float32)
        if query.ndim != 1 or len(query) != (self._dimension or len(query)) or not np.isfinite(query).all():
            raise ValueError("the query must be one finite vector of the model's dimension")
        length = float(np.linalg.norm(query))
        unit: NDArray[np.float32] = query / length if length else query
        return unit


def _filter_of(query: ChunkQuery) -> Expr | None:
    """Built of values and never of text, so that a filter holds no operators. Raises ValueError for a wrong id."""
    where: Expr | None = None
    if query.documents is not None:
        where = col("document_id").isin([opaque(one) for one in query.documents])
    if query.section:
        begins = (col("section") >= lit(query.section)) & (col("section") < lit(query.section + LAST_CHARACTER))
        where = begins if where is None else where & begins
    return where


def _nearest(table: Any, vector: NDArray[np.float32], tuning: Tuning | None, where: Expr | None) -> Any:
    search = table.query().nearest_to(vector).distance_type("cosine").select([*CHUNK_COLUMNS, "_distance"])
    if tuning is None:
        search = search.bypass_vector_index()
    else:
        search = search.nprobes(tuning.nprobes)
        if tuning.refine:
            search = search.refine_factor(tuning.refine)
    return search if where is None else search.where(where)


def _matching(table: Any, words: str, where: Expr | None, *, with_vector: bool) -> Any:
    # A query object and never the query language: the visitor's text holds no operators.
    match: Any = MatchQuery
    columns = [*CHUNK_COLUMNS, *(["vector"] if with_vector else []), "_score"]
    search = table.query().nearest_to_text(match(words, "text")).select(columns)
    return search if where is None else search.where(where)


def _candidates(by_vector: Any, by_text: Any, vector: NDArray[np.float32] | None) -> Candidates:
    """From the tables of rows that the searches returned; None for one that was not made."""
    passages: dict[ChunkKey, Passage] = {}
    nearest: list[ChunkKey] = []
    matching: list[tuple[ChunkKey, float]] = []
    for row in by_vector.to_pylist() if by_vector is not None else ():
        key = key_of(row)
        passages[key] = passage_of(row, 1.0 - row["_distance"], 0.0)
        nearest.append(key)
    if by_text is not None:
        similarity = np.zeros(len(by_text))
        if vector is not None:
            vectors = vectors_of(by_text)
            similarity = vectors @ vector / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
            by_text = by_text.drop_columns("vector")
        for row, similar in zip(by_text.to_pylist(), similarity.tolist(), strict=True):
            key = key_of(row)
            passages.setdefault(key, passage_of(row, similar, 0.0))
            matching.append((key, row["_score"]))
    return Candidates(passages, nearest, matching)


def _words(question: str) -> str:
    """The question's distinct words, bounded, for a visitor may send thousands of them."""
    words = dict.fromkeys(WORD.findall(question[:QUERY_CHARS].lower()))
    return " ".join(list(words)[:QUERY_WORDS])
