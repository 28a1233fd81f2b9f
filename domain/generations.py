"""A generation of a bot's knowledge while it is built, kept and switched to: its progress, and how it compares."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from domain.chunking_config import ChunkingConfig
from domain.documents import Passage
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.knowledge import GenerationState, Knowledge

COMPARED = 5
"""Passages of each generation that a comparison looks at."""
Span = tuple[DocumentId, int, int]
"""A document, and the characters of its parsed text."""


@dataclass(frozen=True, slots=True)
class Progress:
    documents: int
    """All that are ready, whether the generation holds them or not."""
    done: int
    failed: int
    chunks: int
    live_chunks_done: int
    """Chunks that the live generation has of the documents that are done."""
    live_chunks_left: int
    recent_chunks: int
    recent_seconds: float
    """The last minute of the work, or less."""

    @property
    def chunks_per_second(self) -> float | None:
        return (
            round(self.recent_chunks / self.recent_seconds, 2) if self.recent_chunks and self.recent_seconds else None
        )

    @property
    def seconds_left(self) -> int | None:
        """None where nothing was done lately to judge by."""
        rate = self.chunks_per_second
        if self.done + self.failed >= self.documents:
            return 0
        if not rate or not self.live_chunks_done:
            return None
        return round(self.live_chunks_left * self.chunks / self.live_chunks_done / rate)


class QuestionOrigin(StrEnum):
    QUESTION_SETS = "question_sets"
    CONVERSATIONS = "conversations"
    """Asked by people; expected is what the live generation was cited with, which favours it."""
    PASSAGES = "passages"
    """Sentences of the documents themselves; expected is where they stand."""


@dataclass(frozen=True, slots=True)
class ComparedQuestion:
    text: str
    expected: tuple[Span, ...]
    """Any of them will do."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the questions, 0 to 1."""

    recall: float
    """At `COMPARED`."""
    mrr: float


@dataclass(frozen=True, slots=True)
class Comparison:
    questions: int
    origin: QuestionOrigin | None
    """None where there was nothing to ask."""
    live: Quality
    candidate: Quality
    agreement: float
    """The share of the live generation's passages whose place the candidate finds as well."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        origin = QuestionOrigin(fields["origin"]) if fields["origin"] else None
        qualities = {name: Quality(**fields[name]) for name in ("live", "candidate")}
        return cls(**{**fields, **qualities, "origin": origin})


@dataclass(frozen=True, slots=True)
class Generation:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    generation: int
    model: str
    chunking: ChunkingConfig
    state: GenerationState
    reason: str | None
    """Why it failed; a sentence for the user."""
    comparison: Comparison | None
    requested_by: str
    created_at: datetime
    built_at: datetime | None
    switched_at: datetime | None
    expires_at: datetime | None
    progress: Progress

    @property
    def knowledge(self) -> Knowledge:
        return Knowledge(self.generation, self.model)


def compared(
    origin: QuestionOrigin | None,
    questions: Sequence[ComparedQuestion],
    live: Sequence[Sequence[Passage]],
    candidate: Sequence[Sequence[Passage]],
) -> Comparison:
    """The two generations' passages for each question, best first, against each other and what was expected."""
    if not questions:
        return Comparison(0, None, Quality(0.0, 0.0), Quality(0.0, 0.0), 0.0)
    both = [_agreement(ours, theirs) for ours, theirs in zip(live, candidate, strict=True) if ours]
    return Comparison(
        len(questions),
        origin,
        _quality(questions, live),
        _quality(questions, candidate),
        _mean(both),
    )


def _quality(questions: Sequence[ComparedQuestion], found: Sequence[Sequence[Passage]]) -> Quality:
    ranks = [_rank(question, passages) for question, passages in zip(questions, found, strict=True)]
    return Quality(
        _mean([float(rank is not None) for rank in ranks]), _mean([1 / rank if rank else 0.0 for rank in ranks])
    )


def _rank(question: ComparedQuestion, passages: Sequence[Passage]) -> int | None:
    return next(
        (
            rank
            for rank, passage in enumerate(passages[:COMPARED], start=1)
            if any(_meets(passage, span) for span in question.expected)
        ),
        None,
    )


def _agreement(ours: Sequence[Passage], theirs: Sequence[Passage]) -> float:
    spans = [(one.document_id, one.start, one.end) for one in ours[:COMPARED]]
    return _mean([float(any(_meets(other, span) for other in theirs[:COMPARED])) for span in spans])


def _meets(passage: Passage, span: Span) -> bool:
    """The same document, and half of the shorter of the two in common."""
    document, start, end = span
    common = min(passage.end, end) - max(passage.start, start)
    return passage.document_id == document and 2 * common >= min(passage.end - passage.start, end - start) > 0


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
