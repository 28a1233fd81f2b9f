"""Budgets under calls that run beside each other: of the plan, a bot and a visitor, in tokens and in money."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from actors.budget import Account, TenantBudget
from actors.turn_meter import TurnMeter
from configs.tables import ModelTable, load_plans
from domain.budget import BudgetConfig, BudgetKind, BudgetLevel, MonthSpent, Spent
from domain.errors import QuotaExceeded
from domain.generation import Usage
from domain.ids import ChatbotId
from domain.metering import CallKind, ModelCall
from domain.plans import Plan

BOT, OTHER = ChatbotId(uuid4()), ChatbotId(uuid4())
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MODEL = {"engines": ["e"], "context_tokens": 4_000}
TABLE = ModelTable.model_validate(
    {
        "engines": {"e": {"kind": "scripted"}},
        "models": {
            "m": {**MODEL, "price_micro_per_token": {"prompt": 1, "completion": 2}},
            "dear": {**MODEL, "price_micro_per_token": {"prompt": 10, "completion": 20}},
        },
    }
)


def plan(tokens: int) -> Plan:
    free = load_plans()["free"]
    return free.model_copy(update={"limits": free.limits.model_copy(update={"max_tokens_per_month": tokens})})


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def budget(spent: dict[ChatbotId, Spent] | None = None, clock: Clock | None = None) -> TenantBudget:
    return TenantBudget(MonthSpent(NOW, spent or {}), clock or Clock())


def meter(of: TenantBudget, tokens: int = 1_000, visitor: Account | None = None, **config: Any) -> TurnMeter:
    made = TurnMeter(of, plan(tokens), BOT, TABLE, model="m")
    made.open(BudgetConfig(**config), visitor)
    return made


def answer(prompt: int, completion: int, model: str = "m") -> ModelCall:
    return ModelCall(CallKind.ANSWER, "e", model, Usage(prompt, completion))


def test_what_is_reserved_is_nobody_elses_until_it_is_given_back() -> None:
    shared = budget()
    first, second = meter(shared), meter(shared)
    assert first.reserve(600) == 600
    with pytest.raises(QuotaExceeded, match="allows 1,000 tokens per month; it begins anew on 1 December"):
        second.reserve(401)
    first.record(answer(100, 50), reserved=600)
    assert second.reserve(850) == 850
    second.settle(False)
    first.settle(True)
    assert (shared.total.tokens, shared.total.held_tokens, shared.total.held_cost) == (150, 0, 0)


def test_a_shorter_answer_is_granted_when_less_is_left() -> None:
    one = meter(budget({OTHER: Spent(900)}))
    assert one.reserve(300, at_least=80) == 100
    with pytest.raises(QuotaExceeded):
        one.reserve(300, at_least=80)


def test_an_engine_that_used_more_than_was_reserved_is_counted() -> None:
    shared = budget()
    one = meter(shared)
    one.reserve(100)
    one.record(answer(150, 60), reserved=100)
    assert shared.total.held_tokens == 210
    one.settle(True)
    assert (shared.total.tokens, shared.total.held_tokens) == (210, 0)


def test_retries_reserve_anew_and_all_of_them_count() -> None:
    shared = budget()
    one = meter(shared)
    one.reserve(600)
    one.record(ModelCall(CallKind.RETRY, "e", "m", Usage(100)), reserved=600)
    one.reserve(600)
    one.record(answer(100, 200), reserved=600)
    assert shared.total.held_tokens == 400
    assert one.used == Usage(200, 200)
    one.settle(True)
    assert (shared.total.tokens, shared.total.cost_micro) == (400, 100 + 500)


def test_a_bot_has_limits_of_its_own_in_tokens_and_in_money() -> None:
    spent = {BOT: Spent(100, 900), OTHER: Spent(50)}
    with pytest.raises(QuotaExceeded, match="This chatbot's budget"):
        meter(budget(spent), monthly_tokens=150).reserve(51)
    one = meter(budget(spent), monthly_cost_micro=1_000)
    # Two micro-units for each token that can come, at most.
    with pytest.raises(QuotaExceeded):
        one.reserve(51)
    assert one.reserve(500, at_least=1) == 50
    one.record(answer(10, 5), reserved=50)
    assert one.reserve(40) == 40
    with pytest.raises(QuotaExceeded):
        meter(budget(spent), monthly_cost_micro=1_000).reserve(20, model="dear")


async def test_a_visitor_has_a_day_and_not_the_month() -> None:
    clock = Clock()
    shared, who, reads = budget(clock=clock), uuid4(), [400, 0]

    async def read() -> int:
        return reads.pop(0)

    visitor = await shared.visitor(who, read)
    assert await shared.visitor(who, read) is visitor
    one = meter(shared, visitor=visitor, visitor_daily_tokens=500)
    with pytest.raises(QuotaExceeded, match="one visitor"):
        one.reserve(101)
    one.reserve(100)
    clock.seconds += 86_400
    # What runs over midnight is of the new day.
    again = await shared.visitor(who, read)
    assert (again.tokens, again.held_tokens) == (0, 100)


def test_the_month_ends_by_a_clock_that_nobody_sets() -> None:
    clock = Clock()
    shared = budget({BOT: Spent(1_000)}, clock)
    one = meter(shared)
    clock.seconds += 3 * 86_400 - 12 * 3_600 - 1
    assert not shared.outdated
    clock.seconds += 2
    assert shared.outdated
    shared.restart(MonthSpent(NOW + timedelta(days=3)))
    assert one.reserve(1_000) == 1_000


def test_a_threshold_is_told_of_once() -> None:
    shared = budget()
    one = meter(shared, monthly_tokens=100, soft_percent=50)
    one.reserve(60)
    one.record(answer(30, 10), reserved=60)
    assert list(one.notices()) == []
    two = meter(shared, monthly_tokens=100, soft_percent=50)
    two.reserve(60)
    two.record(answer(10, 0), reserved=60)
    [notice] = two.notices()
    assert (notice.chatbot_id, notice.budget, notice.level) == (BOT, BudgetKind.TOKENS, BudgetLevel.SOFT)
    assert (notice.limit, notice.used, str(notice.period)) == (100, 50, "2026-11-01")
    two.settle(True, two.notices())
    assert list(one.notices()) == []
    with pytest.raises(QuotaExceeded):
        one.reserve(60)
    assert [notice.level for notice in one.notices()] == [BudgetLevel.HARD]


@pytest.mark.parametrize("seed", range(20))
def test_calls_beside_each_other_never_pass_a_limit(seed: int) -> None:
    random = Random(seed)
    shared, most = budget(), 5_000
    running: list[tuple[TurnMeter, int]] = []
    used = 0
    for _ in range(300):
        if running and random.random() < 0.5:
            one, reserved = running.pop(random.randrange(len(running)))
            tokens = random.randint(0, reserved)
            one.record(answer(tokens // 2, tokens - tokens // 2), reserved)
            one.settle(True)
            used += tokens
        else:
            one = meter(shared, most)
            try:
                running.append((one, one.reserve(random.randint(1, 600), at_least=1)))
            except QuotaExceeded:
                assert used + sum(reserved for _, reserved in running) == most
        assert used + sum(reserved for _, reserved in running) <= most
    for one, _ in running:
        one.settle(False)
    assert (shared.total.tokens, shared.total.held_tokens, shared.total.held_cost) == (used, 0, 0)


@pytest.mark.parametrize(
    "setting",
    [{"monthly_tokens": 0}, {"monthly_cost_micro": -1}, {"soft_percent": 101}, {"visitor_daily_tokens": 1e30}],
)
def test_absurd_limits_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BudgetConfig.model_validate(setting)
