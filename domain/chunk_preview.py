"""A preview of how a document would be cut: its chunks with their tokens and overlaps, and how these are spread."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from domain.chunking import cut
from domain.chunking_config import ChunkingConfig
from domain.documents import Block, Chunk, ParsedDocument

BUCKETS = 8


@dataclass(frozen=True, slots=True)
class PreviewChunk:
    chunk: Chunk
    tokens: int
    overlap: int
    """Characters at its beginning that the chunk before ends with."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Chunks of `low` to `high` tokens, both included."""

    low: int
    high: int
    chunks: int


@dataclass(frozen=True, slots=True)
class ChunkPreview:
    chunks: tuple[PreviewChunk, ...]
    histogram: tuple[Bucket, ...]

    @property
    def tokens(self) -> int:
        """Of all chunks together, which is what embedding them costs: what overlaps counts each time."""
        return sum(one.tokens for one in self.chunks)

    @property
    def overlap(self) -> int:
        """Characters that are in two chunks."""
        return sum(one.overlap for one in self.chunks)

    @property
    def spread(self) -> tuple[int, float, float, int]:
        """Fewest, median, mean and most tokens of a chunk; zeros without chunks."""
        tokens = [one.tokens for one in self.chunks]
        return (min(tokens), median(tokens), fmean(tokens), max(tokens)) if tokens else (0, 0.0, 0.0, 0)


def preview(parsed: ParsedDocument, count: Callable[[str], int], config: ChunkingConfig) -> ChunkPreview:
    """What `cut` makes of the document. `count` gives the tokens of a text, as it does there."""
    chunks = cut(parsed, count, config)
    overlaps = [0, *(max(0, left.end - right.start) for left, right in pairwise(chunks))]
    found = tuple(PreviewChunk(one, count(one.text), overlap) for one, overlap in zip(chunks, overlaps, strict=False))
    return ChunkPreview(found, _histogram([one.tokens for one in found], config.max_tokens))


def beginning(parsed: ParsedDocument, characters: int) -> ParsedDocument:
    """The blocks within the document's first `characters`; a first block that is longer is shortened."""
    if len(parsed.text) <= characters:
        return parsed
    kept = [block for block in parsed.blocks if block.end <= characters]
    if not kept and parsed.blocks:
        first = parsed.blocks[0]
        kept = [Block(first.start, characters, first.page, first.section)] if first.start < characters else []
    end = kept[-1].end if kept else 0
    return ParsedDocument(parsed.text[:end], tuple(kept), parsed.pages, parsed.language)


def _histogram(tokens: Sequence[int], most: int) -> tuple[Bucket, ...]:
    """Buckets of equal width up to `most`; a single character that counts more is in the last one."""
    tops = [-(-most * step // BUCKETS) for step in range(1, BUCKETS + 1)]
    counts = [0] * BUCKETS
    for number in tokens:
        counts[min(bisect_left(tops, number), BUCKETS - 1)] += 1
    lows = [1, *(top + 1 for top in tops[:-1])]
    return tuple(Bucket(*one) for one in zip(lows, tops, counts, strict=True))
