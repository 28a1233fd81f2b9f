"""Vectors of the questions that a process has just asked for: whoever needs one again in the same turn has it."""

from collections import OrderedDict
from collections.abc import Sequence

from domain.ports import QueryEmbedder

CAPACITY = 256


class RememberedQueries:
    """QueryEmbedder before another one."""

    def __init__(self, embedder: QueryEmbedder, capacity: int = CAPACITY) -> None:
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[str, list[float]] = OrderedDict()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        found = dict(zip(missing, await self._embedder.embed(missing), strict=True)) if missing else {}
        vectors = [found.get(text) or self._vectors[text] for text in texts]
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[text] = vector
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
        return vectors
