"""The pure turn: grounding, fail-over, stop, guards, budget."""

import asyncio
from dataclasses import replace

import pytest

from domain.conversation import TurnState
from domain.errors import EngineFailed, QuotaExceeded, Unavailable
from domain.generation import Usage
from domain.metering import CallKind, ModelCall
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.trace import TurnTrace
from domain.turn import AnswerEnded, AnswerText, StopSignal, TurnInput, TurnPorts, run_turn
from tests.fixtures.twins import TwinGenerator, TwinMeter, TwinPlanner, TwinRetriever, passage, turn_input, turn_ports

LAMP = passage("The lamp costs 40 euros and ships in blue.")


async def outcome(turn: TurnInput, ports: TurnPorts) -> tuple[str, AnswerEnded]:
    """The streamed text and the last event."""
    events = [event async for event in run_turn(turn, ports, StopSignal())]
    assert isinstance(events[-1], AnswerEnded)
    return "".join(event.text for event in events if isinstance(event, AnswerText)), events[-1]


async def test_streams_the_answer_and_cites_the_passage() -> None:
    generator = TwinGenerator({"first": ["It costs ", "40 ", "euros."]})
    text, ended = await outcome(turn_input(), turn_ports(generator, [LAMP]))
    assert text == ended.answer == "It costs 40 euros."
    assert ended.state is TurnState.COMPLETED
    assert ended.usage.total_tokens == 103
    assert [c.page for c in ended.citations] == [1]
    assert "lamp costs 40" in generator.requests[0].messages[-1].content


async def test_without_a_passage_it_says_so_and_asks_no_model() -> None:
    generator = TwinGenerator({"first": ["invented"]})
    text, ended = await outcome(turn_input(no_answer="Not in the documents."), turn_ports(generator))
    assert text == "Not in the documents."
    assert ended.usage.total_tokens == 0
    assert not ended.citations
    assert not generator.requests


async def test_an_open_bot_answers_without_passages() -> None:
    text, ended = await outcome(
        turn_input(retrieval={"grounding": "open"}), turn_ports(TwinGenerator({"first": ["Hello."]}))
    )
    assert text == "Hello."
    assert not ended.citations


async def test_an_engine_that_fails_before_its_first_word_is_passed_over() -> None:
    planner = TwinPlanner()
    generator = TwinGenerator({"first": [Unavailable()], "second": ["40 euros"]})
    text, ended = await outcome(turn_input(), turn_ports(generator, [LAMP], planner))
    assert text == "40 euros"
    assert ended.model == "model-b"
    assert planner.reports == [("first", False), ("second", True)]


async def test_a_failure_after_the_first_word_keeps_what_was_said() -> None:
    generator = TwinGenerator({"first": ["It ", EngineFailed()], "second": ["never asked"]})
    text, ended = await outcome(turn_input(), turn_ports(generator, [LAMP]))
    assert text == ended.answer == "It "
    assert ended.state is TurnState.INTERRUPTED
    assert ended.usage.completion_tokens == 1
    assert len(generator.requests) == 1


async def test_all_engines_failing_is_an_error() -> None:
    with pytest.raises(Unavailable):
        await outcome(
            turn_input(), turn_ports(TwinGenerator({"first": [Unavailable()], "second": [Unavailable()]}), [LAMP])
        )


async def test_stop_keeps_what_was_said() -> None:
    generator = TwinGenerator({"first": ["It costs ", "40 euros", " or more"]}, hang_after=2)
    stop, said = StopSignal(), asyncio.Event()
    events = []

    async def consume() -> None:
        async for event in run_turn(turn_input(), turn_ports(generator, [LAMP]), stop):
            events.append(event)
            if isinstance(event, AnswerText) and "euros" in event.text:
                said.set()

    task = asyncio.create_task(consume())
    await asyncio.wait_for(said.wait(), 5)
    await asyncio.sleep(0)
    stop.state = TurnState.STOPPED
    task.cancel()
    await task
    ended = events[-1]
    assert isinstance(ended, AnswerEnded)
    assert ended.state is TurnState.STOPPED
    assert ended.answer == "It costs 40 euros"
    assert ended.usage.completion_tokens == 2
    assert generator.cancelled


async def test_a_cancel_that_nobody_asked_for_ends_the_turn_without_an_answer() -> None:
    generator = TwinGenerator({"first": ["a", "b"]}, hang_after=1)

    async def consume() -> None:
        async for _ in run_turn(turn_input(), turn_ports(generator, [LAMP]), StopSignal()):
            pass

    task = asyncio.create_task(consume())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_guard_refuses_the_question_and_the_answer() -> None:
    rules = [("x", "forbidden", "I cannot help with that.")]
    generator = TwinGenerator({"first": ["this is ", "forbid", "den fruit"]})
    text, ended = await outcome(turn_input("a forbidden thing"), turn_ports(generator, [LAMP], rules=rules))
    assert text == "I cannot help with that."
    assert not generator.requests
    text, ended = await outcome(turn_input(), turn_ports(generator, [LAMP], rules=rules))
    assert text == ended.answer == "this is forbid\n\nI cannot help with that."
    assert not ended.citations


async def test_the_budget_is_asked_before_the_model() -> None:
    generator, meter = TwinGenerator({"first": ["x"]}), TwinMeter(left=64)
    with pytest.raises(QuotaExceeded):
        await outcome(turn_input(), turn_ports(generator, [LAMP], meter=meter))
    assert not generator.requests


async def test_an_answer_is_short_when_little_is_left_of_the_budget() -> None:
    ample, short = TwinMeter(), TwinMeter()
    generator = TwinGenerator({"first": ["x"]})
    await outcome(turn_input(), turn_ports(generator, [LAMP], meter=ample))
    [reserved] = ample.reserved
    prompt = reserved - generator.requests[0].max_tokens
    short.left = prompt + 64
    await outcome(turn_input(), turn_ports(generator, [LAMP], meter=short))
    assert generator.requests[1].max_tokens == 64
    with pytest.raises(QuotaExceeded):
        await outcome(turn_input(), turn_ports(generator, [LAMP], meter=TwinMeter(left=prompt + 63)))


async def test_every_attempt_is_recorded_and_the_answer_bears_their_sum() -> None:
    generator, meter = TwinGenerator({"first": [Unavailable()], "second": ["40 euros"]}), TwinMeter()
    _, ended = await outcome(turn_input(), turn_ports(generator, [LAMP], meter=meter))
    assert [(call.kind, call.engine, call.usage.total_tokens) for call in meter.tally.calls] == [
        (CallKind.RETRY, "first", 0),
        (CallKind.ANSWER, "second", 101),
    ]
    assert ended.usage == meter.used


async def test_what_finding_costs_is_of_the_turn_also_when_nothing_was_found() -> None:
    class Paid(TwinRetriever):
        async def retrieve(self, request: RetrievalRequest) -> Retrieval:
            call = ModelCall(CallKind.EMBEDDING, "", "their-model", Usage(embedded_tokens=7))
            return replace(await super().retrieve(request), calls=(call,))

    meter = TwinMeter()
    ports = turn_ports(TwinGenerator({"first": ["x"]}), meter=meter)
    _, ended = await outcome(turn_input(), replace(ports, retriever=Paid()))
    assert ended.usage == meter.used == Usage(embedded_tokens=7)


async def test_the_stages_are_timed() -> None:
    trace = TurnTrace()
    await outcome(turn_input(), turn_ports(TwinGenerator({"first": ["x"]}), [LAMP], trace=trace))
    assert [stage.name for stage in trace.stages] == ["guard", "retrieve", "prompt", "plan", "first_text"]


async def test_an_empty_answer_becomes_the_no_answer_text() -> None:
    text, ended = await outcome(
        turn_input(no_answer="Nothing found."), turn_ports(TwinGenerator({"first": [" "]}), [LAMP])
    )
    assert ended.answer == "Nothing found."
    assert text.strip() == "Nothing found."
