"""What a turn notes of itself: in order, of bounded size, and without words where they are not to be kept."""

import json
from typing import Any

import pytest

from domain.generation import PromptMessage, Usage
from domain.metering import CallKind, ModelCall
from domain.retrieval.result import Fate, Found, Retrieval, Scores
from domain.trace import MOST_CHARS, TraceDetail, TurnTrace
from tests.fixtures.twins import passage

CALL = ModelCall(CallKind.ANSWER, "engine", "model", Usage(10, 3), 7)


def trace_of(text: str = "otter") -> TurnTrace:
    trace = TurnTrace()
    with trace.stage("outer"), trace.stage("inner"):
        trace.mark("first_text")
    trace.mark("first_text")
    kept, dropped = Found(passage(text), Scores(0.8, fused=0.5)), Found(passage(text), Scores(), Fate.DUPLICATE)
    trace.retrieval = Retrieval(text, (kept,), (dropped,))
    trace.messages = [PromptMessage("system", text), PromptMessage("user", text)]
    trace.note("plan", {"reason": "preferred"})
    return trace


def read(trace: TurnTrace, detail: TraceDetail = TraceDetail.FULL) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(trace.record(detail, [CALL]))
    return found


def test_everything_is_in_a_full_trace() -> None:
    found = read(trace_of())
    assert [name for name, _, _ in found["stages"]] == ["first_text", "inner", "outer"]
    assert found["notes"] == {"plan": {"reason": "preferred"}}
    assert found["calls"] == [
        {"kind": "answer", "engine": "engine", "model": "model", "prompt": 10, "completion": 3, "cost": 7}
    ]
    assert [one["fate"] for one in found["retrieval"]["candidates"]] == ["kept", "duplicate"]
    assert found["texts"] == {"query": "otter", "messages": [["system", "otter"], ["user", "otter"]]}


def test_timings_hold_no_words() -> None:
    record = trace_of().record(TraceDetail.TIMINGS, [CALL])
    assert "otter" not in record
    assert "manual.pdf" not in record
    assert json.loads(record)["retrieval"]["candidates"]


@pytest.mark.parametrize("text", ["x" * 200_000, "\x00" * 200_000, "\\" * 200_000, "水" * 200_000])
def test_a_trace_has_a_longest_length(text: str) -> None:
    trace = trace_of(text)
    trace.note("endless", ["y" * 1_000] * 1_000)
    record = trace.record(TraceDetail.FULL, [CALL] * 10_000)
    found = json.loads(record)
    assert len(record) <= MOST_CHARS
    assert found["cut"]
    assert [role for role, _ in found["texts"]["messages"]] == ["system", "user"]


def test_a_stage_that_fails_is_timed_too() -> None:
    trace = TurnTrace()
    with pytest.raises(ValueError, match="no"), trace.stage("broken"):
        raise ValueError("no")
    assert [stage.name for stage in trace.stages] == ["broken"]
