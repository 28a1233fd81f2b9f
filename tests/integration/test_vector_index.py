"""The vector index of a table: built by size, gated on recall, kept up, dropped, and never in a search's way."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from domain.documents import Chunk
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.retrieval.result import ChunkQuery
from storage.models.embedding import Vectors
from storage.vectors import indexing
from storage.vectors.indexing import GATE_RECALL, VECTOR_INDEX, IndexPolicy
from storage.vectors.search import VectorSearch
from storage.vectors.store import VectorStore
from storage.vectors.tables import Tables, Tuning, table_key

TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
DIMENSION, ROWS = 24, 600
POLICIES = {"flat": IndexPolicy(exact_rows=300), "codes": IndexPolicy(exact_rows=300, flat_rows=400)}


def clustered(rows: int, seed: int = 0) -> Vectors:
    """Unit vectors around a few centres, as the chunks of a few topics are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(12, DIMENSION))
    vectors = centres[random.integers(12, size=rows)] + 0.6 * random.normal(size=(rows, DIMENSION))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


class Shelf:
    """A bot's table, as its writer and as a reader of another process see it."""

    def __init__(self, folder: Path, policy: IndexPolicy) -> None:
        self.folder = str(folder / "objects")
        self.store = VectorStore(self.folder, policy=policy)

    async def add(self, vectors: Vectors) -> DocumentId:
        document = DocumentId(uuid4())
        chunks = [Chunk(place, 10 * place, 10 * place + 9, f"text {place}") for place in range(len(vectors))]
        await self.store.add_document(TENANT, BOT, document, "guide.md", chunks, vectors)
        return document

    async def optimize(self) -> Tuning | None:
        await self.store.optimize(TENANT, BOT)
        return Tuning.of(await (await self.table()).schema())

    async def table(self) -> Any:
        opened = await Tables(self.folder).open(table_key(TENANT, BOT))
        assert opened is not None
        return opened.table

    async def nearest(self, vector: Vectors, depth: int = 10, reader: VectorSearch | None = None) -> list[float]:
        """Similarities, the highest first."""
        query = ChunkQuery(TENANT, BOT, depth, vector=vector.tolist())
        found = await (reader or VectorSearch.over(self.folder)).find(query)
        return [found.passages[key].similarity for key in found.by_vector]

    async def recall(self, vectors: Vectors) -> float:
        """At 10, of questions that the table does not hold, against comparing with every vector."""
        questions, reader = clustered(40, seed=7), VectorSearch.over(self.folder)
        true = np.sort(questions @ vectors.T, axis=1)[:, -10]
        found = [await self.nearest(question, reader=reader) for question in questions]
        near = [sum(one >= least - 1e-4 for one in row) for row, least in zip(found, true, strict=True)]
        return float(sum(near)) / 400


@pytest.fixture(params=sorted(POLICIES))
def shelf(tmp_path: Path, request: pytest.FixtureRequest) -> Shelf:
    return Shelf(tmp_path, POLICIES[request.param])


async def test_a_small_table_is_searched_exactly(shelf: Shelf) -> None:
    vectors = clustered(299)
    await shelf.add(vectors)
    assert await shelf.optimize() is None
    assert await (await shelf.table()).index_stats(VECTOR_INDEX) is None
    assert await shelf.recall(vectors) == 1.0


async def test_a_larger_one_gets_an_index_that_is_as_good_as_exact_search(shelf: Shelf) -> None:
    vectors = clustered(ROWS)
    await shelf.add(vectors)
    tuning = await shelf.optimize()
    assert tuning is not None
    assert (tuning.rows, tuning.recall >= GATE_RECALL) == (ROWS, True)
    stats = await (await shelf.table()).index_stats(VECTOR_INDEX)
    assert stats.num_indexed_rows == ROWS
    assert (stats.index_type == "IVF_FLAT") == (tuning.refine == 0)
    assert await shelf.recall(vectors) >= 0.93


async def test_rows_that_came_later_are_found_and_measured_again(shelf: Shelf) -> None:
    await shelf.add(clustered(ROWS))
    first = await shelf.optimize()
    later = clustered(40, seed=1)
    await shelf.add(later)
    assert (await shelf.nearest(later[0]))[0] == pytest.approx(1.0, abs=1e-4)
    assert await shelf.optimize() == first
    await shelf.add(clustered(70, seed=2))
    tuning = await shelf.optimize()
    assert tuning is not None
    assert tuning.rows == ROWS + 110
    assert (await (await shelf.table()).index_stats(VECTOR_INDEX)).num_unindexed_rows == 0


async def test_an_index_that_is_not_good_enough_is_dropped(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(ROWS)
    await shelf.add(vectors)
    monkeypatch.setattr(indexing, "GATE_RECALL", 1.01)
    assert await shelf.optimize() is None
    assert await (await shelf.table()).index_stats(VECTOR_INDEX) is None
    assert await shelf.recall(vectors) == 1.0


async def test_more_is_probed_until_the_index_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, random = Shelf(tmp_path, POLICIES["flat"]), np.random.default_rng(3)
    # Without any structure, neighbours lie in every partition.
    await shelf.add(random.normal(size=(ROWS, DIMENSION)).astype(np.float32))
    monkeypatch.setattr(indexing, "FIRST_NPROBES", 1)
    tuning = await shelf.optimize()
    assert tuning is not None
    assert tuning.nprobes > 4
    assert tuning.recall >= GATE_RECALL


async def test_a_table_that_shrank_is_searched_exactly_again(shelf: Shelf) -> None:
    document = await shelf.add(clustered(ROWS))
    await shelf.add(clustered(50, seed=1))
    assert await shelf.optimize() is not None
    await shelf.store.remove_document(TENANT, BOT, document)
    assert await shelf.optimize() is None
    assert len(await shelf.nearest(clustered(1)[0], depth=100)) == 50


async def test_a_purge_leaves_no_copy_in_the_index(shelf: Shelf) -> None:
    gone, vectors = await shelf.add(clustered(80, seed=5)), clustered(ROWS)
    await shelf.add(vectors)
    assert await shelf.optimize() is not None
    before = _index_files(shelf)
    await shelf.store.remove_document(TENANT, BOT, gone)
    await shelf.store.purge(TENANT, BOT)
    assert not before & _index_files(shelf)
    assert await shelf.store.remains(TENANT, BOT, gone) == 0
    tuning = Tuning.of(await (await shelf.table()).schema())
    assert tuning is not None
    assert tuning.rows == ROWS
    assert await shelf.recall(vectors) >= 0.93


async def test_searches_go_on_while_an_index_is_built(shelf: Shelf) -> None:
    vectors = clustered(ROWS)
    await shelf.add(vectors)
    reader, building = VectorSearch.over(shelf.folder), asyncio.create_task(shelf.optimize())
    searches = 0
    while not building.done():
        assert (await shelf.nearest(vectors[searches % ROWS], reader=reader))[0] == pytest.approx(1.0, abs=1e-4)
        searches += 1
    assert await building is not None
    assert searches > 3


async def test_a_filter_makes_the_search_exact(shelf: Shelf) -> None:
    await shelf.add(clustered(ROWS))
    few = clustered(30, seed=1)
    document = await shelf.add(few)
    await shelf.optimize()
    query = ChunkQuery(TENANT, BOT, 50, vector=few[0].tolist(), documents=[document])
    found = await VectorSearch.over(shelf.folder).find(query)
    assert len(found.by_vector) == 30


def _index_files(shelf: Shelf) -> set[Path]:
    return set(Path(shelf.folder).glob("*/vectors/*.lance/_indices/*"))
