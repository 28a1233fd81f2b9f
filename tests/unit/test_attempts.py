"""Attempts: fail-over, hedges, deadlines, the retry budget, waiting, and what each attempt is metered as."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domain import attempts as attempts_module
from domain.attempts import Attempts
from domain.errors import AppError, EngineFailed, InvalidInput, ModelStarting, RateLimited, Unavailable
from domain.generation import Delta, EngineTarget, FinishReason, GenerationRequest, PlanRequest, PromptMessage, Usage
from domain.ids import TenantId, new_uuid
from domain.metering import CallKind
from domain.retry_budget import RetryBudget, RetryRules
from domain.turn import TurnPorts
from tests.fixtures.conditions import eventually
from tests.fixtures.twins import ScriptGenerator, TwinGenerator, TwinMeter, TwinPlanner, turn_ports

ASK = PlanRequest(TenantId(new_uuid()), "model-a", 100, 50)
REQUEST = GenerationRequest("t", "model-a", (PromptMessage("user", "x"),), 50)
HANG = "hang"


def planner_of(*engines: str, hedge_after: float | None = None, **deadlines: Any) -> TwinPlanner:
    targets = tuple(EngineTarget(name, f"model-{name}", f"{name}:1", **deadlines) for name in engines)
    return TwinPlanner(targets, hedge_after=hedge_after)


def ports_of(script: dict[str, list[Any]], planner: TwinPlanner, **more: Any) -> TurnPorts:
    return replace(turn_ports(TwinGenerator({}), planner=planner), generator=ScriptGenerator(script), **more)


async def run(ports: TurnPorts, request: GenerationRequest = REQUEST) -> tuple[str, Attempts]:
    attempts, text = Attempts(ports, "model-a", 100), ""
    async for item in attempts.stream(ASK, request):
        text += item.text if isinstance(item, Delta) else f"[{item.stage} {item.position}]"
    return text, attempts


def calls(ports: TurnPorts) -> list[tuple[CallKind, str, int, int]]:
    assert isinstance(ports.meter, TwinMeter)
    return [
        (call.kind, call.engine, call.usage.prompt_tokens, call.usage.completion_tokens)
        for call in ports.meter.tally.calls
    ]


@pytest.mark.parametrize("error", [EngineFailed(), Unavailable(), RateLimited()], ids=lambda e: type(e).__name__)
async def test_a_failure_before_the_first_token_is_passed_over(error: AppError) -> None:
    planner = planner_of("a", "b")
    ports = ports_of({"a": [error], "b": ["yes"]}, planner)
    text, attempts = await run(ports)
    assert (text, attempts.model) == ("yes", "model-b")
    assert calls(ports) == [(CallKind.RETRY, "a", 0, 0), (CallKind.ANSWER, "b", 100, 1)]
    busy = isinstance(error, RateLimited)
    assert planner.reports == [*([] if busy else [("a", False)]), ("b", True)]
    assert attempts.reason == f"preferred; a {'is busy' if busy else 'failed'}"


async def test_a_stream_that_ends_without_a_word_is_a_failure() -> None:
    ports = ports_of({"a": [], "b": ["yes"]}, planner_of("a", "b"))
    assert (await run(ports))[0] == "yes"


async def test_what_no_engine_would_take_is_not_tried_again() -> None:
    ports = ports_of({"a": [InvalidInput()], "b": ["yes"]}, planner_of("a", "b"))
    with pytest.raises(InvalidInput):
        await run(ports)
    assert calls(ports) == [(CallKind.RETRY, "a", 0, 0)]


async def test_a_replica_without_a_substitute_is_asked_once_more_unless_it_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts_module, "SAME_PAUSE_SECONDS", 0.01)
    planner = planner_of("a", "a")
    ports = ports_of({"a": [Unavailable()]}, planner)
    with pytest.raises(Unavailable):
        await run(ports)
    assert planner.reports == [("a", False), ("a", False)]
    ports = ports_of({"a": [RateLimited()]}, planner)
    with pytest.raises(RateLimited):
        await run(ports)
    assert len(calls(ports)) == 1


async def test_after_the_first_token_a_failure_is_explicit() -> None:
    planner = planner_of("a", "b")
    ports = ports_of({"a": ["one", EngineFailed()], "b": ["never"]}, planner)
    with pytest.raises(EngineFailed):
        await run(ports)
    assert calls(ports) == [(CallKind.ANSWER, "a", 100, 1)]
    assert planner.reports == [("a", False)]


async def test_an_engine_that_says_nothing_is_given_up_and_its_prompt_is_counted() -> None:
    ports = ports_of({"a": [HANG], "b": ["yes"]}, planner_of("a", "b", first_token_seconds=0.02))
    text, attempts = await run(ports)
    assert (text, attempts.reason) == ("yes", "preferred; a said nothing")
    assert calls(ports) == [(CallKind.RETRY, "a", 100, 0), (CallKind.ANSWER, "b", 100, 1)]
    assert isinstance(ports.meter, TwinMeter)
    assert ports.meter.reserved == [100], "the next attempt has its whole reservation again"
    assert isinstance(ports.generator, ScriptGenerator)
    assert ports.generator.cancelled == ["a"]


async def test_a_hedge_that_answers_first_wins_and_the_other_is_cancelled() -> None:
    planner = planner_of("a", "b", hedge_after=0.01)
    ports = ports_of({"a": [HANG], "b": ["quick"]}, planner)
    text, attempts = await run(ports)
    assert (text, attempts.model, attempts.reason) == ("quick", "model-b", "preferred; hedged")
    assert calls(ports) == [(CallKind.HEDGE, "a", 100, 0), (CallKind.ANSWER, "b", 100, 1)]
    assert planner.reports == [("a", None), ("b", True)]
    assert isinstance(ports.generator, ScriptGenerator)
    assert ports.generator.cancelled == ["a"]


async def test_a_hedge_that_loses_changes_nothing_but_the_bill() -> None:
    began = asyncio.Event()
    ports = ports_of({"a": [began, "slow"], "b": [began.set, HANG]}, planner_of("a", "b", hedge_after=0.01))
    text, attempts = await run(ports)
    assert (text, attempts.model, attempts.reason) == ("slow", "model-a", "preferred")
    assert calls(ports) == [(CallKind.HEDGE, "b", 100, 0), (CallKind.ANSWER, "a", 100, 1)]


async def test_no_hedge_is_made_that_could_not_be_paid() -> None:
    began = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, began.set)
    ports = ports_of(
        {"a": [began, "slow"], "b": ["never"]}, planner_of("a", "b", hedge_after=0.01), meter=TwinMeter(left=149)
    )
    assert (await run(ports))[0] == "slow"
    assert [engine for _, engine, _, _ in calls(ports)] == ["a"]


async def test_the_retry_budget_ends_fail_over() -> None:
    retries = RetryBudget(RetryRules(share=0.5, per_second=0.0, burst=1.0))
    script: dict[str, list[Any]] = {"a": [Unavailable()], "b": ["yes"]}
    assert (await run(ports_of(script, planner_of("a", "b"), retries=retries)))[0] == "yes"
    with pytest.raises(Unavailable):
        await run(ports_of(script, planner_of("a", "b"), retries=retries))
    assert (await run(ports_of(script, planner_of("a", "b"), retries=retries)))[0] == "yes", "two turns earn one"


async def test_tokens_for_ever_are_cut_at_the_limit() -> None:
    ports = ports_of({"a": ["x"] * 1_000}, planner_of("a"))
    assert (await run(ports))[0] == "x" * 50
    assert calls(ports) == [(CallKind.ANSWER, "a", 100, 51)], "what it said beyond is spent, and not shown"


async def test_an_engine_that_counts_more_for_the_prompt_has_less_left_for_the_answer() -> None:
    ports = ports_of({"a": [Delta("x", 1, usage=Usage(130, 1)), *["x"] * 1_000]}, planner_of("a"))
    assert (await run(ports))[0] == "x" * 20, "100 and 50 were reserved"
    assert calls(ports) == [(CallKind.ANSWER, "a", 130, 21)]


async def test_pieces_of_any_length_are_cut_too() -> None:
    ports = ports_of({"a": ["x" * 5_000] * 10}, planner_of("a"))
    assert len((await run(ports))[0]) <= 50 * 128


async def test_the_engine_counts_for_itself() -> None:
    last = Delta("", 2, FinishReason.STOP, Usage(97, 5, 64))
    ports = ports_of({"a": ["three", last]}, planner_of("a"))
    await run(ports)
    assert calls(ports) == [(CallKind.ANSWER, "a", 97, 5)]


async def test_a_place_in_the_engines_queue_is_told_and_waited_for() -> None:
    script: dict[str, list[Any]] = {"a": [Delta(queued=2), Delta(queued=1), Delta(queued=0), "yes"]}
    text, _ = await run(ports_of(script, planner_of("a", first_token_seconds=5.0)))
    assert text == "[queued 2][queued 1][generating None]yes"


async def test_who_waits_too_long_for_a_place_goes_elsewhere() -> None:
    ports = ports_of({"a": [Delta(queued=3), HANG], "b": ["yes"]}, planner_of("a", "b", queue_seconds=0.02))
    assert (await run(ports))[0] == "[queued 3]yes"


async def test_a_model_that_starts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = planner_of("a")
    planner.refusals = [ModelStarting(retry_after=0.01), ModelStarting(retry_after=0.01)]
    ports = ports_of({"a": ["yes"]}, planner)
    assert (await run(ports))[0] == "[starting None][generating None]yes"
    monkeypatch.setattr(attempts_module, "STARTING_SECONDS", 0.0)
    planner.refusals = [ModelStarting(retry_after=1.0)]
    with pytest.raises(ModelStarting):
        await run(ports)


async def test_a_provider_that_asks_for_a_short_pause_gets_it_and_a_long_one_is_refused() -> None:
    planner = planner_of("a")
    planner.refusals = [RateLimited(retry_after=0.01)]
    assert (await run(ports_of({"a": ["yes"]}, planner)))[0] == "[queued None][generating None]yes"
    planner.refusals = [RateLimited(retry_after=120.0)]
    with pytest.raises(RateLimited):
        await run(ports_of({"a": ["yes"]}, planner))


async def test_who_leaves_before_the_first_token_leaves_nothing_running() -> None:
    ports = ports_of({"a": [HANG], "b": [HANG]}, planner_of("a", "b", hedge_after=0.0))
    task = asyncio.create_task(run(ports))
    generator = ports.generator
    assert isinstance(generator, ScriptGenerator)
    await eventually(lambda: len(generator.asked) == 2)
    task.cancel()
    await asyncio.wait((task,))
    assert sorted(generator.cancelled) == ["a", "b"]
    assert calls(ports) == [(CallKind.ANSWER, "a", 100, 0), (CallKind.HEDGE, "b", 100, 0)]
