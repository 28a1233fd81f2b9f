"""The questions of the answers that a bot keeps, in the memory of a process, to be found without asking Redis."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain.ids import ChatbotId
from storage.keys import TenantCipher
from storage.redis.kept_answers import IndexEntry, opened_question

Vectors: TypeAlias = NDArray[np.float32]

NEAREST = 8
"""Questions that are looked at more closely."""
SLACK = 256
"""Entries beyond the limit, before those that are gone are taken out of the matrix."""


class Meanings:
    """The questions of one scope with their vectors, float32 of shape (n, dimension)."""

    def __init__(self, tag: bytes) -> None:
        self.tag = tag
        self.entries: list[IndexEntry] = []
        self._questions: list[str] = []
        self._matrix: Vectors = np.zeros((0, 0), dtype=np.float32)

    def add(self, entry: IndexEntry, question: str, vector: bytes) -> None:
        """`vector` is float16."""
        row = np.frombuffer(vector, dtype=np.float16).astype(np.float32)
        filled = len(self.entries)
        if filled == len(self._matrix):
            larger: Vectors = np.zeros((max(16, 2 * filled), len(row)), dtype=np.float32)
            if filled:
                larger[:filled] = self._matrix
            self._matrix = larger
        self._matrix[filled] = row
        self.entries.append(entry)
        self._questions.append(question)

    def nearest(self, vector: Sequence[float], threshold: float) -> list[tuple[IndexEntry, str, float]]:
        """The most similar entries with their questions and cosines, `threshold` at least, the nearest first."""
        if not self.entries:
            return []
        similarities = self._matrix[: len(self.entries)] @ np.asarray(vector, dtype=np.float32)
        order = np.argsort(-similarities)[:NEAREST]
        return [
            (self.entries[at], self._questions[at], float(similarities[at]))
            for at in order
            if similarities[at] >= threshold
        ]


class AnswerIndex:
    """Of one bot; the newest entry of a question counts. What it says is there is looked for before it is used."""

    def __init__(self) -> None:
        self.read_at = float("-inf")
        """When it was read from Redis last, by the monotonic clock."""
        self._entries: OrderedDict[bytes, IndexEntry] = OrderedDict()
        self._by_digest: dict[bytes, IndexEntry] = {}
        self._meanings: Meanings | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last(self) -> bytes | None:
        """The id of the newest entry."""
        return next(reversed(self._entries), None)

    def add(self, cipher: TenantCipher, chatbot_id: ChatbotId, entries: Iterable[IndexEntry], limit: int) -> None:
        """Entries in the order in which they were kept; the oldest beyond `limit` are forgotten."""
        for entry in entries:
            if entry.id in self._entries:
                continue
            self._entries[entry.id] = entry
            self._by_digest[entry.digest] = entry
            if self._meanings is not None and self._meanings.tag == entry.tag:
                _add_meaning(self._meanings, cipher, chatbot_id, entry)
        while len(self._entries) > limit:
            self.drop(next(iter(self._entries.values())))
        if self._meanings is not None and len(self._meanings.entries) > limit + SLACK:
            self._meanings = None

    def drop(self, entry: IndexEntry) -> None:
        """It is not there any more."""
        self._entries.pop(entry.id, None)
        if self._by_digest.get(entry.digest) is entry:
            del self._by_digest[entry.digest]

    def same_words(self, digest: bytes) -> IndexEntry | None:
        return self._by_digest.get(digest)

    def alike(
        self, cipher: TenantCipher, chatbot_id: ChatbotId, tag: bytes, vector: Sequence[float], threshold: float
    ) -> list[tuple[IndexEntry, str, float]]:
        """Entries of a scope whose questions are near, with the questions and their cosines, the nearest first."""
        meanings = self._meanings
        if meanings is None or meanings.tag != tag:
            meanings = self._meanings = Meanings(tag)
            for entry in self._entries.values():
                if entry.tag == tag:
                    _add_meaning(meanings, cipher, chatbot_id, entry)
        return [found for found in meanings.nearest(vector, threshold) if found[0].id in self._entries]


def _add_meaning(meanings: Meanings, cipher: TenantCipher, chatbot_id: ChatbotId, entry: IndexEntry) -> None:
    opened = opened_question(cipher, chatbot_id, entry)
    if opened is not None:
        meanings.add(entry, *opened)
