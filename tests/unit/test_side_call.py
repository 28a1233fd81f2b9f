"""Models asked beside the answer: metered, passed on from engine to engine, and cut off in time."""

from uuid import UUID

import pytest

from domain.errors import EngineFailed, QuotaExceeded
from domain.generation import PromptMessage
from domain.ids import TenantId
from domain.metering import CallKind, Meter
from domain.ports import Generator, Planner
from domain.retry_budget import RetryBudget, RetryRules
from domain.side_call import SideCall, SidePorts, ask
from tests.fixtures.twins import ScriptGenerator, TwinGenerator, TwinMeter, TwinPlanner


def call(seconds: float = 5.0) -> SideCall:
    messages = (PromptMessage("user", "Sum up."),)
    return SideCall("s-1", CallKind.SUMMARY, TenantId(UUID(int=1)), "model-a", messages, 10, 20, seconds)


def ports(generator: Generator, meter: Meter, planner: Planner | None = None, burst: float = 9.0) -> SidePorts:
    retries = RetryBudget(RetryRules(share=0.0, per_second=0.0, burst=burst))
    return SidePorts(planner or TwinPlanner(), generator, meter, retries)


async def test_the_first_engine_that_answers_counts_and_is_metered() -> None:
    planner, meter = TwinPlanner(), TwinMeter()
    generator = TwinGenerator({"first": [EngineFailed()], "second": ["  They ", "ask. "]})
    assert await ask(call(), ports(generator, meter, planner)) == "They ask."
    assert meter.reserved == [30]
    assert [(one.kind, one.engine) for one in meter.tally.calls] == [
        (CallKind.RETRY, "first"),
        (CallKind.SUMMARY, "second"),
    ]
    assert meter.freed == [0, 30], "what it did not use is free for the answer"
    assert meter.used.completion_tokens > 0
    assert planner.reports == [("first", False), ("second", True)]


async def test_nothing_begins_without_a_budget() -> None:
    generator = TwinGenerator({"first": ["No."]})
    with pytest.raises(QuotaExceeded):
        await ask(call(), ports(generator, TwinMeter(left=29)))
    assert generator.requests == []


async def test_one_that_takes_too_long_is_cut_off_and_metered() -> None:
    generator, meter = TwinGenerator({"first": ["They ", "ask."]}, hang_after=1), TwinMeter()
    with pytest.raises(EngineFailed):
        await ask(call(seconds=0.05), ports(generator, meter))
    assert generator.cancelled
    assert meter.used.completion_tokens == 1


async def test_one_that_goes_on_for_ever_is_cut_off() -> None:
    meter = TwinMeter()
    assert await ask(call(), ports(TwinGenerator({"first": ["x"] * 1_000}), meter)) == "x" * 20
    assert meter.used.completion_tokens == 21, "what it said beyond is spent"


async def test_it_takes_from_the_same_retry_budget_as_answers() -> None:
    generator = TwinGenerator({"first": [EngineFailed()], "second": ["Never."]})
    with pytest.raises(EngineFailed):
        await ask(call(), ports(generator, TwinMeter(), burst=0.0))
    assert [request.model for request in generator.requests] == ["model-a"]


async def test_nobody_is_asked_twice_at_once_for_what_nobody_waits_for() -> None:
    generator, meter = ScriptGenerator({"first": ["hang"], "second": ["Never."]}), TwinMeter()
    with pytest.raises(EngineFailed):
        await ask(call(seconds=0.05), ports(generator, meter, TwinPlanner(hedge_after=0.0)))
    assert generator.asked == ["first"]
