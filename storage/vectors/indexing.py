"""The vector index of a table: chosen by size, and used only when its recall against exact search is good enough."""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import structlog
from lancedb.index import IvfFlat, IvfRq
from numpy.typing import NDArray

from storage.vectors.rows import vectors_of
from storage.vectors.tables import Tuning, set_tuning

log = structlog.get_logger()

VECTOR_INDEX = "vector_idx"
GATE_RECALL = 0.95
NEIGHBOURS = 10
QUERIES, FEW_QUERIES = 100, 40
MANY_ROWS = 200_000
"""Beyond them an exact search takes long, and fewer are made."""
NOISE = 0.8
"""Length of the noise that makes a query of a chunk's vector: its similarity to its chunk is then that of a good
question, about 0.8."""
FIRST_NPROBES = 8
REFINES = (4, 8, 16)
OUTGROWN = 4
"""An index of so many times fewer rows has too few partitions."""
GREW = 10
"""Recall is measured again after growth by one such part."""


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    exact_rows: int = 10_000
    """Up to here no index is worth it: all vectors are compared in milliseconds."""
    flat_rows: int = 500_000
    """Up to here an index holds whole vectors, beyond it their RaBitQ codes."""

    def holds_vectors(self, rows: int) -> bool:
        return rows < self.flat_rows

    def index_of(self, rows: int) -> Any:
        partitions = max(4, isqrt(rows))
        kind: Any = IvfFlat if self.holds_vectors(rows) else IvfRq
        return kind(distance_type="cosine", num_partitions=partitions)


async def refresh_index(table: Any, policy: IndexPolicy) -> Tuning | None:
    """Build, measure again, or drop the table's vector index, whatever its size asks for; None for exact search.

    For the one writer. Readers search exactly until an index has passed, and never wait.
    """
    rows = int(await table.count_rows())
    tuning = Tuning.of(await table.schema())
    stats = await table.index_stats(VECTOR_INDEX)
    if rows < policy.exact_rows:
        if stats is not None or tuning is not None:
            await drop_index(table)
        return None
    if tuning is not None and stats is not None:
        outgrown = rows >= OUTGROWN * tuning.partitions**2
        of_its_kind = (stats.index_type == "IVF_FLAT") == policy.holds_vectors(rows)
        if of_its_kind and not outgrown and rows * GREW <= tuning.rows * (GREW + 1):
            return tuning
        if of_its_kind and not outgrown:
            return await _gate(table, rows, tuning.partitions, policy)
    config = policy.index_of(rows)
    if tuning is not None:
        await set_tuning(table, None)
    await table.create_index("vector", config=config, name=VECTOR_INDEX, replace=True)
    return await _gate(table, rows, config.num_partitions, policy)


async def drop_index(table: Any) -> bool:
    """Whether there was one. It holds copies of vectors, of removed chunks too."""
    if Tuning.of(await table.schema()) is not None:
        await set_tuning(table, None)
    if await table.index_stats(VECTOR_INDEX) is None:
        return False
    await table.drop_index(VECTOR_INDEX)
    return True


async def _gate(table: Any, rows: int, partitions: int, policy: IndexPolicy) -> Tuning | None:
    """The cheapest parameters with which the index is good enough; an index that has none is dropped."""
    queries = await _queries(table, rows)
    limits = [await _furthest(table, query) for query in queries]
    nprobes = FIRST_NPROBES
    while True:
        nprobes = min(nprobes, partitions)
        for refine in (0,) if policy.holds_vectors(rows) else REFINES:
            tuning = Tuning(nprobes, refine, partitions, rows, 0.0)
            found = np.array(
                [await _recall(table, one, limit, tuning) for one, limit in zip(queries, limits, strict=True)]
            )
            # As sure as the sample allows.
            least = found.mean() - 1.64 * found.std() / np.sqrt(len(found))
            if least >= GATE_RECALL:
                tuning = Tuning(nprobes, refine, partitions, rows, round(float(found.mean()), 4))
                await set_tuning(table, tuning)
                log.info("vectors.index_passed", rows=rows, nprobes=nprobes, refine=refine, recall=tuning.recall)
                return tuning
        if nprobes == partitions:
            log.warning("vectors.index_failed", rows=rows, recall=round(float(found.mean()), 4))
            await drop_index(table)
            return None
        nprobes *= 2


async def _queries(table: Any, rows: int) -> NDArray[np.float32]:
    """Vectors of the table with noise, so that none of them is in it; shape (queries, dimension)."""
    random = np.random.default_rng(rows)
    chosen = random.choice(rows, min(rows, QUERIES if rows < MANY_ROWS else FEW_QUERIES), replace=False)
    taken = await table.take_offsets(sorted(chosen.tolist())).select(["vector"]).to_arrow()
    vectors = vectors_of(taken)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    noise = random.normal(size=vectors.shape)
    noisy = vectors + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    queries: NDArray[np.float32] = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    return queries


def _search(table: Any, query: NDArray[np.float32]) -> Any:
    return table.query().nearest_to(query).distance_type("cosine").select(["_distance"]).limit(NEIGHBOURS)


async def _furthest(table: Any, query: NDArray[np.float32]) -> float:
    """The distance of the last of the true neighbours."""
    found = await _search(table, query).bypass_vector_index().to_arrow()
    return float(found["_distance"].to_numpy().max())


async def _recall(table: Any, query: NDArray[np.float32], limit: float, tuning: Tuning) -> float:
    """The part of the neighbours found that are as near as the true ones; equal chunks may stand for each other."""
    search = _search(table, query).nprobes(tuning.nprobes)
    found = await (search.refine_factor(tuning.refine) if tuning.refine else search).to_arrow()
    return float((found["_distance"].to_numpy() <= limit + 1e-5).sum()) / NEIGHBOURS
