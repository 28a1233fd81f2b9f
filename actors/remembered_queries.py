"""Vectors of the questions that a process has just asked for: whoever needs one again in the same turn has it."""

from collections import OrderedDict
from collections.abc import Sequence

from actors.remote_embedding import RemoteEmbedding
from domain.metering import ModelCall
from domain.ports import QueryEmbedder

CAPACITY = 256


class RememberedQueries:
    """QueryEmbedder before another one."""

    def __init__(self, embedder: QueryEmbedder, capacity: int = CAPACITY) -> None:
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[str, list[float]] = OrderedDict()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those that have to be asked for, each once."""
        return [text for text in dict.fromkeys(texts) if text not in self._vectors]

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        missing = self.missing(texts)
        found = dict(zip(missing, await self._embedder.embed(missing), strict=True)) if missing else {}
        vectors = [found.get(text) or self._vectors[text] for text in texts]
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[text] = vector
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
        return vectors


class CountedQueries:
    """QueryEmbedder of one question, which notes what somebody else's API was asked for it."""

    def __init__(self, embedder: QueryEmbedder, remote: RemoteEmbedding | None, model: str) -> None:
        """Without `remote` nothing costs anything; `model` is the usual one when it has no name."""
        self.calls: list[ModelCall] = []
        self._embedder = embedder
        self._remote = remote
        self._model = model

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        new = self._embedder.missing(texts) if isinstance(self._embedder, RememberedQueries) else list(texts)
        vectors = await self._embedder.embed(texts)
        if new and self._remote is not None:
            self.calls.append(self._remote.call(new, self._model))
        return vectors
