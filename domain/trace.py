"""What a turn notes of itself: how long its stages took, and what was decided in them."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.generation import PromptMessage
from domain.metering import ModelCall
from domain.retrieval.result import Found, Retrieval

MOST_CHARS = 64_000
"""Of a trace as it is kept; of a longer one the texts are cut."""
CUT = "…"


class TraceDetail(StrEnum):
    FULL = "full"
    TIMINGS = "timings"
    """No words: neither of people nor of documents."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class StageTiming:
    name: str
    start: float
    """Seconds since the trace began."""
    seconds: float


@dataclass(slots=True)
class TurnTrace:
    """Kept in memory until the turn's end; writing to it waits for nothing."""

    began: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)
    """By the wall clock, in seconds since 1970."""
    stages: list[StageTiming] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    retrieval: Retrieval | None = None
    messages: Sequence[PromptMessage] = ()
    """The prompt as it was sent."""

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, also when it fails; a stage may happen more than once, and inside another."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(StageTiming(name, start - self.began, time.monotonic() - start))

    def mark(self, name: str) -> None:
        """Note when something happened the first time, as a stage that takes no time."""
        if not any(stage.name == name for stage in self.stages):
            self.stages.append(StageTiming(name, time.monotonic() - self.began, 0.0))

    def note(self, name: str, value: Any) -> None:
        """`value` can be written as JSON and holds no words of people or documents; a later one replaces it."""
        self.notes[name] = value

    def record(self, detail: TraceDetail, calls: Sequence[ModelCall]) -> str:
        """As JSON of `MOST_CHARS` at most: what is left out for its length says so."""
        kept = {
            "stages": [[stage.name, _ms(stage.start), _ms(stage.seconds)] for stage in self.stages],
            "notes": self.notes,
            "calls": [call_fields(call) for call in calls],
            "retrieval": None if self.retrieval is None else _retrieval(self.retrieval),
        }
        if detail is TraceDetail.FULL:
            kept["texts"] = {
                "query": "" if self.retrieval is None else self.retrieval.query,
                "messages": [[message.role, message.content] for message in self.messages],
            }
        text = _json(kept)
        return text if len(text) <= MOST_CHARS else self._shortened(kept)

    def _shortened(self, kept: dict[str, Any]) -> str:
        """Without notes, which are of any size, and with the same share for each message."""
        kept["notes"], kept["cut"] = {}, True
        kept["calls"], kept["stages"] = kept["calls"][:50], kept["stages"][:200]
        if "texts" in kept:
            texts = kept["texts"]
            # A character is six bytes of JSON at most.
            share = MOST_CHARS // 8 // (len(texts["messages"]) + 1)
            texts["query"] = _cut(texts["query"], share)
            texts["messages"] = [[role, _cut(content, share)] for role, content in texts["messages"][-100:]]
        return _json(kept)


def call_fields(call: ModelCall) -> dict[str, str | int]:
    """A call as it is kept; what is zero is left out."""
    usage = call.usage
    numbers = {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "cached": usage.cached_tokens,
        "embedded": usage.embedded_tokens,
        "cost": call.cost_micro,
    }
    names = {"kind": call.kind.value, "engine": call.engine, "model": call.model}
    return names | {name: number for name, number in numbers.items() if number}


def _retrieval(found: Retrieval) -> dict[str, Any]:
    """Candidates by where they lie, with their scores."""
    return {
        "rewritten": found.rewritten,
        "reranking": found.reranking.value,
        "relevance": found.relevance,
        "timings": {name: round(ms, 2) for name, ms in found.timings.items()},
        "candidates": [_candidate(one) for one in (*found.kept, *found.dropped)[:100]],
    }


def _candidate(found: Found) -> dict[str, Any]:
    scores, passage = found.scores, found.passage
    return {
        "document_id": str(passage.document_id),
        "ordinal": passage.ordinal,
        "fate": found.fate.value,
        "similarity": scores.similarity,
        "bm25": scores.bm25,
        "fused": scores.fused,
        "rerank": scores.rerank,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 2)


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[:chars] + CUT
