"""Evaluation: what a bot found and said is scored against what was expected, question by question and in sum."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import Any

from domain.conversation import Citation
from domain.documents import Passage
from domain.generation import Usage
from domain.ids import DocumentId, QuestionId
from domain.question_set import ExpectedPassage, QuestionSpec, words


class Metric(StrEnum):
    """Each from 0 to 1, higher is better; of questions that it says something about."""

    RECALL_1 = "recall@1"
    """The share of the expected passages among the first offered; of questions without expected passages, whether one
    of the first holds an expected answer."""
    RECALL_3 = "recall@3"
    RECALL_5 = "recall@5"
    RECALL_10 = "recall@10"
    MRR = "mrr"
    """One divided by the rank of the first right passage, 0 without one."""
    ANSWERED = "answered"
    """Questions that have an answer and got one, be it right or wrong."""
    NO_ANSWER = "no_answer"
    """Questions without an answer in the documents of which the bot said so."""
    CITATION_PRECISION = "citation_precision"
    """The share of the citations that point to an expected passage."""
    ANSWER_CONTAINMENT = "answer_containment"
    """Whether the answer holds one of the expected answers, whatever the case and punctuation."""
    ANSWER_F1 = "answer_f1"
    """How far the words of the answer are those of the expected one, the best of them; as in SQuAD (Rajpurkar et al.
    2016)."""


RECALLS = {1: Metric.RECALL_1, 3: Metric.RECALL_3, 5: Metric.RECALL_5, 10: Metric.RECALL_10}
RETRIEVAL_METRICS = frozenset((*RECALLS.values(), Metric.MRR, Metric.ANSWERED, Metric.NO_ANSWER))

WORDS_TO_HALVE = 8
"""Half of a shorter snippet stands in too many places."""

Scores = dict[Metric, float]


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was offered, without its text."""

    document_id: DocumentId
    start: int
    end: int
    score: float
    right: bool
    """Whether it is an expected one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    passages: tuple[Passage, ...]
    answer: str | None
    """None where only retrieval was asked for, and where `error` says why."""
    citations: tuple[Citation, ...]
    refused: bool
    """The bot said that it has no answer; of retrieval, that it found nothing."""
    error: str | None = None
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_micro: int = 0
    retrieval_ms: int = 0
    total_ms: int = 0


@dataclass(frozen=True, slots=True)
class QuestionResult:
    question_id: QuestionId
    scores: Scores
    found: tuple[Found, ...]
    answer: str | None
    error: str | None
    model: str
    usage: Usage
    cost_micro: int
    retrieval_ms: int
    total_ms: int


@dataclass(frozen=True, slots=True)
class Mean:
    value: float
    questions: int
    """Those that the metric says something about."""


@dataclass(frozen=True, slots=True)
class Summary:
    """An evaluation in sum. Times and tokens are what they were that day; only the metrics are compared."""

    metrics: dict[Metric, Mean]
    questions: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    retrieval_ms: tuple[int, int]
    """Median and 95th percentile."""
    total_ms: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "metrics": {name.value: [mean.value, mean.questions] for name, mean in self.metrics.items()},
            "questions": self.questions,
            "errors": self.errors,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_micro": self.cost_micro,
            "retrieval_ms": list(self.retrieval_ms),
            "total_ms": list(self.total_ms),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Summary":
        metrics = {Metric(name): Mean(*mean) for name, mean in fields["metrics"].items()}
        times = {name: (fields[name][0], fields[name][1]) for name in ("retrieval_ms", "total_ms")}
        return cls(**{**fields, **times, "metrics": metrics})


def result_of(question_id: QuestionId, question: QuestionSpec, outcome: Outcome) -> QuestionResult:
    """The outcome with its scores; of passages and citations the places are kept, not the words."""
    return QuestionResult(
        question_id,
        scores_of(question, outcome),
        tuple(
            Found(one.document_id, one.start, one.end, round(one.score, 6), _is_right(question, one))
            for one in outcome.passages
        ),
        outcome.answer,
        outcome.error,
        outcome.model,
        outcome.usage,
        outcome.cost_micro,
        outcome.retrieval_ms,
        outcome.total_ms,
    )


def scores_of(question: QuestionSpec, outcome: Outcome) -> Scores:
    """What can be said of the outcome; a metric that asks for what nobody expects is left out."""
    if not question.answerable:
        return {Metric.NO_ANSWER: float(outcome.refused)}
    scores: Scores = {Metric.ANSWERED: float(not outcome.refused and outcome.error is None)}
    if question.passages or question.answers:
        scores |= _retrieval_scores(question, outcome.passages)
    if outcome.answer is None and outcome.error is None:
        return scores
    if question.answers:
        said = "" if outcome.refused else words(outcome.answer or "")
        expected = [words(answer) for answer in question.answers]
        scores[Metric.ANSWER_CONTAINMENT] = float(any(_contains(said, one) for one in expected))
        scores[Metric.ANSWER_F1] = max(_f1(said, one) for one in expected)
    if outcome.citations and question.passages:
        right = sum(any(_cites(one, citation) for one in question.passages) for citation in outcome.citations)
        scores[Metric.CITATION_PRECISION] = right / len(outcome.citations)
    return scores


def summary_of(results: Iterable[QuestionResult]) -> Summary:
    """Means over the questions that each metric says something about."""
    found = list(results)
    values: dict[Metric, list[float]] = {}
    for result in found:
        for name, value in result.scores.items():
            values.setdefault(name, []).append(value)
    return Summary(
        metrics={
            name: Mean(sum(values[name]) / len(values[name]), len(values[name])) for name in Metric if name in values
        },
        questions=len(found),
        errors=sum(result.error is not None for result in found),
        prompt_tokens=sum(result.usage.prompt_tokens for result in found),
        completion_tokens=sum(result.usage.completion_tokens for result in found),
        cost_micro=sum(result.cost_micro for result in found),
        retrieval_ms=_percentiles([result.retrieval_ms for result in found]),
        total_ms=_percentiles([result.total_ms for result in found]),
    )


def _retrieval_scores(question: QuestionSpec, passages: Sequence[Passage]) -> Scores:
    if question.passages:
        ranks = [
            next((rank for rank, one in enumerate(passages, 1) if _offers(expected, one)), None)
            for expected in question.passages
        ]
    else:
        ranks = [next((rank for rank, one in enumerate(passages, 1) if _is_right(question, one)), None)]
    reached = [rank for rank in ranks if rank is not None]
    scores = {name: sum(rank <= k for rank in reached) / len(ranks) for k, name in RECALLS.items()}
    return {**scores, Metric.MRR: 1 / min(reached) if reached else 0.0}


def _is_right(question: QuestionSpec, passage: Passage) -> bool:
    if question.passages:
        return any(_offers(expected, passage) for expected in question.passages)
    text = words(passage.text)
    return any(_contains(text, words(answer)) for answer in question.answers)


def _offers(expected: ExpectedPassage, passage: Passage) -> bool:
    span = (passage.start, passage.end)
    return _matches(expected, passage.document_id, passage.document_name, span, passage.text)


def _cites(expected: ExpectedPassage, citation: Citation) -> bool:
    span = (citation.start, citation.end)
    return _matches(expected, citation.document_id, citation.document_name, span, citation.snippet)


def _matches(expected: ExpectedPassage, document_id: DocumentId, name: str, span: tuple[int, int], text: str) -> bool:
    """The same document, and half of the shorter span or snippet in common."""
    if expected.document_id is not None:
        if expected.document_id != document_id:
            return False
    elif expected.document is not None and expected.document.casefold() != name.casefold():
        return False
    if expected.start is not None and expected.end is not None:
        common = min(expected.end, span[1]) - max(expected.start, span[0])
        return 2 * common >= min(expected.end - expected.start, span[1] - span[0]) > 0
    if expected.snippet is not None:
        return _share_words(words(expected.snippet), words(text))
    return True


def _share_words(snippet: str, text: str) -> bool:
    """Whether one holds the other, or the text the first or the last half of the snippet: it may lie across chunks."""
    wanted = snippet.split()
    enough = ceil(len(wanted) / 2) if len(wanted) >= WORDS_TO_HALVE else len(wanted)
    halves = (wanted[:enough], wanted[len(wanted) - enough :])
    return any(_contains(text, " ".join(half)) for half in halves) or _contains(snippet, text)


def _contains(text: str, part: str) -> bool:
    return bool(part) and f" {part} " in f" {text} "


def _f1(said: str, expected: str) -> float:
    given, wanted = Counter(said.split()), Counter(expected.split())
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def _percentiles(values: list[int]) -> tuple[int, int]:
    """Median and 95th, by nearest rank; zeros without values."""
    if not values:
        return (0, 0)
    ordered = sorted(values)
    return ordered[ceil(len(ordered) * 0.5) - 1], ordered[ceil(len(ordered) * 0.95) - 1]
