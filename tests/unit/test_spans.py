"""Turns as spans: ids, numbers and times, and nobody's words."""

import json
from uuid import UUID

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from actors.spans import TurnSpans
from configs.settings import Settings
from domain.generation import PromptMessage, Usage
from domain.ids import SessionId
from domain.metering import CallKind, ModelCall, Tally
from domain.trace import TurnTrace
from tests.fixtures.twins import turn_input


def test_without_a_collector_there_are_none() -> None:
    assert TurnSpans.open(Settings(_env_file=None)) is None


async def test_a_turn_is_a_span_with_its_stages_inside() -> None:
    exporter, trace, tally = InMemorySpanExporter(), TurnTrace(), Tally()
    spans, turn = TurnSpans(exporter), turn_input("what about the otter?")
    with trace.stage("retrieve"):
        trace.messages = [PromptMessage("user", turn.question)]
    trace.mark("first_text")
    tally.add(ModelCall(CallKind.ANSWER, "engine", "model", Usage(10, 3), 7))
    spans.export(turn, SessionId(UUID(int=5)), "completed", "model", trace, tally)
    await spans.close()
    retrieve, first, root = exporter.get_finished_spans()
    assert (retrieve.name, first.name, root.name) == ("retrieve", "first_text", "turn")
    assert root.parent is None
    assert retrieve.parent is not None
    assert root.context is not None
    assert retrieve.parent.span_id == root.context.span_id
    assert root.attributes is not None
    assert root.attributes["loquent.turn_id"] == str(turn.turn_id)
    assert root.attributes["gen_ai.usage.input_tokens"] == 10
    assert root.start_time is not None
    assert retrieve.start_time is not None
    assert root.end_time is not None
    assert root.start_time <= retrieve.start_time <= root.end_time
    assert "otter" not in json.dumps([json.loads(span.to_json()) for span in (retrieve, first, root)])
