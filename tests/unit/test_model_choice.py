"""Routes: which models may answer a question, in which order, and what the plan says of it."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from configs.tables import ModelTable
from deployments.llm.model_choice import choose_models
from deployments.llm.plan_reason import described, reason_of
from domain.errors import InvalidInput
from domain.generation import PlanRequest
from domain.ids import TenantId, new_uuid
from domain.routing import BreakerState, Candidate

ENGINES = {"e": {"kind": "scripted"}}


def model(price: float, **more: Any) -> dict[str, Any]:
    price_of = {"prompt": price, "completion": price}
    return {"engines": ["e"], "context_tokens": 1000, "price_micro_per_token": price_of} | more


MODELS = {"small": model(1, hedge_after_ms=500), "large": model(20), "dear": model(50), "middle": model(5)}
ROUTE = {"simple": "small", "hard": "large", "others": ["dear", "middle"]}


def table(**route: Any) -> ModelTable:
    return ModelTable.model_validate({"engines": ENGINES, "models": MODELS, "routes": {"auto": ROUTE | route}})


def ask(difficulty: float = 0.0, *signals: str, plan: str = "free") -> PlanRequest:
    return PlanRequest(TenantId(new_uuid()), "auto", 100, 100, plan=plan, difficulty=difficulty, signals=signals)


def test_an_easy_question_goes_to_the_small_model_and_then_to_the_cheapest() -> None:
    choice = choose_models(table(), "auto", ask(0.2))
    assert choice.models == ("small", "middle", "large", "dear")
    assert (choice.reason, choice.hedge_after_seconds) == ("simple → small", 0.5)


def test_a_hard_question_goes_to_the_large_model_and_to_the_small_one_last() -> None:
    choice = choose_models(table(hedge_after_ms=200), "auto", ask(0.8, "comparison", "2 questions", "words"))
    assert choice.models == ("large", "dear", "middle", "small")
    assert (choice.reason, choice.hedge_after_seconds) == ("hard: comparison, 2 questions → large", 0.2)


def test_a_plan_may_be_without_the_large_model() -> None:
    routes = table(hard_plans=["business"])
    assert choose_models(routes, "auto", ask(0.8)).models == ("small", "middle", "dear")
    assert choose_models(routes, "auto", ask(0.8)).reason == "hard, but not in the plan → small"
    assert choose_models(routes, "auto", ask(0.8, plan="business")).models[0] == "large"


def test_a_model_by_name_is_only_that_model() -> None:
    assert choose_models(table(), "dear", ask(0.1)).models == ("dear",)
    with pytest.raises(InvalidInput):
        choose_models(table(), "nothing", ask())


def test_a_route_is_as_small_as_its_smallest_model() -> None:
    models = MODELS | {"large": model(20, context_tokens=500, tokens_per_message=9)}
    made = ModelTable.model_validate({"engines": ENGINES, "models": models, "routes": {"auto": ROUTE}})
    assert made.window("auto") == (500, 9)
    assert made.window("small") == (1000, 4)
    with pytest.raises(InvalidInput):
        made.window("nothing")


@pytest.mark.parametrize(
    "routes",
    [
        {"small": ROUTE},
        {"default": ROUTE},
        {"auto": {"simple": "small", "hard": "absent"}},
        {"auto": ROUTE | {"threshold": -1}},
        {"auto": ROUTE | {"hedge_after_ms": 0}},
        {"auto": ROUTE | {"hard_plan": []}},
    ],
    ids=["named as a model", "named default", "absent model", "threshold", "hedge", "unknown field"],
)
def test_a_route_that_cannot_work_is_refused(routes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelTable.model_validate({"engines": ENGINES, "models": MODELS, "routes": routes})


WELL = Candidate("e", "a:1", 0, 0, 0, 4, 8, BreakerState.CLOSED, model="small")
OTHER = replace(WELL, address="b:1", model="middle", tier=1)


def test_the_reason_says_what_kept_the_chosen_model_away() -> None:
    choice = choose_models(table(), "auto", ask(0.2))

    def reason(first: Candidate, *others: Candidate, session: str = "") -> str:
        return reason_of(choice, "small", first, [first, *others], session)

    assert reason(WELL, OTHER) == "simple → small"
    assert reason(OTHER) == "simple → small, fallback: small away → middle"
    broken = replace(WELL, breaker=BreakerState.OPEN)
    assert reason(OTHER, broken) == "simple → small, fallback: small open → middle"
    limited = replace(WELL, limited_seconds=5.0)
    assert reason(OTHER, limited) == "simple → small, fallback: small limited → middle"
    assert reason(replace(WELL, breaker=BreakerState.HALF_OPEN)) == "simple → small, probe"
    assert reason_of(choice, "middle", OTHER, [WELL, OTHER], "") == "simple → small, fallback: small too small → middle"
    twin = replace(WELL, address="c:1")
    assert sorted([reason(WELL, twin, session="s"), reason(twin, WELL, session="s")]) == [
        "simple → small",
        "simple → small, sticky",
    ]


def test_a_candidate_is_described_for_the_trace() -> None:
    assert described(replace(WELL, ttft=0.25, running=5, failing=0.5)) == {
        "engine": "e",
        "model": "small",
        "state": "failing",
        "load": 1.25,
        "failing": 0.5,
        "ttft_ms": 250,
    }
