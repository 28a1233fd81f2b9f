"""What is asked of retrieval, what the searches find, and what comes out: passages with the scores of every stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from domain.documents import Passage
from domain.generation import PromptMessage
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.knowledge import FIRST, Knowledge
from domain.metering import ModelCall
from domain.retrieval.configuration import RetrievalConfig

ChunkKey = tuple[DocumentId, int]
"""Document and ordinal of a chunk."""


@dataclass(frozen=True, slots=True)
class RetrievalRequest:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    question: str
    config: RetrievalConfig
    history: tuple[PromptMessage, ...] = ()
    """The conversation before the question, oldest first."""
    knowledge: Knowledge = FIRST
    """The bot's generation that is live."""
    query: str | None = None
    """What a model made of the question; None leaves it to the rules."""


@dataclass(frozen=True, slots=True)
class ChunkQuery:
    """One look into a bot's table."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    depth: int
    """Chunks to find at most, by each search."""
    vector: Sequence[float] | None = None
    """A unit vector to find the nearest of; None searches by words alone."""
    text: str | None = None
    """What to find the words of; None searches by vector alone."""
    documents: Sequence[DocumentId] | None = None
    """The only documents to search; None searches all."""
    section: str | None = None
    """What the section of a chunk has to begin with."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the searches of one look found, each best first."""

    passages: Mapping[ChunkKey, Passage] = field(default_factory=dict)
    """All of them, with their similarity to the query's vector."""
    by_vector: Sequence[ChunkKey] = ()
    by_text: Sequence[tuple[ChunkKey, float]] = ()
    """With their BM25 scores."""


class Fate(StrEnum):
    """What became of a candidate."""

    KEPT = "kept"
    BELOW_MIN_SCORE = "below_min_score"
    DUPLICATE = "duplicate"
    BEYOND_TOP_K = "beyond_top_k"
    NOT_RELEVANT = "not_relevant"
    MERGED = "merged"
    """Its text is part of a better passage."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one chunk; None where a stage did not see it."""

    similarity: float | None = None
    """Cosine, -1 to 1."""
    vector_rank: int | None = None
    """1 is the nearest."""
    bm25: float | None = None
    text_rank: int | None = None
    fused: float = 0.0
    """See `domain.fusion`."""
    rerank: float | None = None
    """Of the cross-encoder, higher is better."""


@dataclass(frozen=True, slots=True)
class Found:
    """One candidate and what became of it."""

    passage: Passage
    """Its text holds the neighbours as well, where it was expanded."""
    scores: Scores
    fate: Fate = Fate.KEPT
    ordinals: tuple[int, ...] = ()
    """The chunks that its text is made of."""
    because_of: ChunkKey | None = None
    """The better passage that it duplicates or became part of."""

    @property
    def key(self) -> ChunkKey:
        return self.passage.document_id, self.passage.ordinal


class Reranking(StrEnum):
    OFF = "off"
    DONE = "done"
    AWAY = "away"
    """No cross-encoder answered in time: the order is that of the fused ranks."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    query: str
    """What was searched for."""
    kept: tuple[Found, ...] = ()
    """For the prompt, best first; empty when the documents have no answer."""
    dropped: tuple[Found, ...] = ()
    """The other candidates, in the order in which they were ranked."""
    rewritten: bool = False
    """Whether `query` is more than the question."""
    reranking: Reranking = Reranking.OFF
    relevance: float | None = None
    """How sure it is that the documents answer, 0 to 1; None without candidates."""
    documents: int | None = None
    """How many documents the filters let through; None without filters."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage that ran, in order."""
    calls: tuple[ModelCall, ...] = ()
    """Of models that cost something, without their prices."""

    @property
    def passages(self) -> list[Passage]:
        """Those for the prompt, best first."""
        return [found.passage for found in self.kept]
