"""Models asked beside the answer: metered, passed on from engine to engine, and cut off in time."""

from uuid import UUID

import pytest

from domain.errors import EngineFailed, QuotaExceeded
from domain.generation import PromptMessage
from domain.ids import TenantId
from domain.metering import CallKind
from domain.side_call import SideCall, ask
from tests.fixtures.twins import TwinGenerator, TwinMeter, TwinPlanner


def call(seconds: float = 5.0) -> SideCall:
    messages = (PromptMessage("user", "Sum up."),)
    return SideCall("s-1", CallKind.SUMMARY, TenantId(UUID(int=1)), "model-a", messages, 10, 20, seconds)


async def test_the_first_engine_that_answers_counts_and_is_metered() -> None:
    planner, meter = TwinPlanner(), TwinMeter()
    generator = TwinGenerator({"first": [EngineFailed()], "second": ["  They ", "ask. "]})
    assert await ask(call(), planner, generator, meter) == "They ask."
    assert meter.reserved == [30]
    assert {one.kind for one in meter.tally.calls} == {CallKind.SUMMARY}
    assert meter.tally.calls[-1].engine == "second"
    assert meter.used.completion_tokens > 0
    assert planner.reports == [("first", False)]


async def test_nothing_begins_without_a_budget() -> None:
    generator = TwinGenerator({"first": ["No."]})
    with pytest.raises(QuotaExceeded):
        await ask(call(), TwinPlanner(), generator, TwinMeter(left=29))
    assert generator.requests == []


async def test_one_that_takes_too_long_is_cut_off_and_metered() -> None:
    generator, meter = TwinGenerator({"first": ["They ", "ask."]}, hang_after=1), TwinMeter()
    with pytest.raises(EngineFailed):
        await ask(call(seconds=0.05), TwinPlanner(), generator, meter)
    assert generator.cancelled
    assert meter.used.completion_tokens == 1
