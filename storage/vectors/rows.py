"""The Arrow form of chunks: the schema of a chatbot's table, rows made from chunks, passages made from rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.documents import Chunk, Passage
from domain.ids import DocumentId
from domain.retrieval.result import ChunkKey

CHUNK_COLUMNS = ["document_id", "document_name", "ordinal", "start", "end", "page", "section", "text"]
"""All but the vector."""


def table_schema(dimension: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("document_name", pa.string(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("page", pa.int32()),
            pa.field("section", pa.string()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


def rows_of(document_id: str, name: str, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> pa.Table:
    """One row per chunk. Raises ValueError when the vectors do not fit the chunks or are not finite."""
    if vectors.ndim != 2 or len(vectors) != len(chunks):
        raise ValueError(f"{len(chunks)} chunks need as many vectors, not an array of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
    dimension = vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    columns = {
        "document_id": [document_id] * len(chunks),
        "document_name": [name] * len(chunks),
        "ordinal": [chunk.ordinal for chunk in chunks],
        "start": [chunk.start for chunk in chunks],
        "end": [chunk.end for chunk in chunks],
        "page": [chunk.page for chunk in chunks],
        "section": [chunk.section for chunk in chunks],
        "text": [chunk.text for chunk in chunks],
        "vector": pa.FixedSizeListArray.from_arrays(flat, dimension),
    }
    return pa.table(columns, schema=table_schema(dimension))


def vectors_of(rows: pa.Table) -> NDArray[np.float32]:
    """Their vectors; shape (rows, dimension)."""
    column = rows["vector"]
    vectors: NDArray[np.float32] = (
        column.combine_chunks().flatten().to_numpy().reshape(len(rows), column.type.list_size)
    )
    return vectors


def key_of(row: dict[str, Any]) -> ChunkKey:
    return DocumentId(UUID(row["document_id"])), row["ordinal"]


def passage_of(row: dict[str, Any], similarity: float, score: float) -> Passage:
    return Passage(
        document_id=DocumentId(UUID(row["document_id"])),
        document_name=row["document_name"],
        ordinal=row["ordinal"],
        start=row["start"],
        end=row["end"],
        text=row["text"],
        page=row["page"],
        section=row["section"],
        similarity=similarity,
        score=score,
    )
