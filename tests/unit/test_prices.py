"""What calls cost: whole micro-units, rounded up once per call, and never unpriced where a provider asks money."""

from typing import Any

import pytest
from pydantic import ValidationError

from configs.tables import ModelTable, load_models
from domain.generation import Usage
from domain.metering import CallKind, ModelCall
from domain.prices import Price

ENGINES = {"local": {"kind": "scripted"}, "cloud": {"kind": "openai"}}


def table(**cloud: Any) -> ModelTable:
    models = {
        "small": {"engines": ["local"], "context_tokens": 400},
        "large": {"engines": ["cloud"], "context_tokens": 400, **cloud},
    }
    return ModelTable.model_validate({"engines": ENGINES, "models": models, "cache_hit_micro": 2})


def call(model: str, usage: Usage, kind: CallKind = CallKind.ANSWER) -> ModelCall:
    return ModelCall(kind, "cloud", model, usage)


def test_a_call_is_rounded_up_once() -> None:
    price = Price.model_validate({"prompt": 0.15, "completion": 0.6})
    assert price.cost_micro(Usage(1, 0)) == 1
    assert price.cost_micro(Usage(100, 50)) == 45
    # 0.1 and 0.2 have no exact binary form; sums of them are exact here.
    assert Price.model_validate({"prompt": 0.1, "completion": 0.2}).cost_micro(Usage(1, 2)) == 1
    assert Price.model_validate({"prompt": 0.1, "completion": 0.2}).cost_micro(Usage(10, 10)) == 3


def test_cached_tokens_have_their_own_price_and_are_of_the_prompt() -> None:
    price = Price.model_validate({"prompt": 1, "completion": 5, "cached": 0.1})
    assert price.cost_micro(Usage(100, 0, 90)) == 19
    assert price.cost_micro(Usage(100, 0, 900)) == 10
    assert Price.model_validate({"prompt": 1, "completion": 5}).cost_micro(Usage(100, 0, 90)) == 100


@pytest.mark.parametrize("price", [-1, float("inf"), float("nan"), 10**9, 0.000_000_1])
def test_absurd_prices_are_refused(price: float) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({"prompt": price, "completion": 1})


def test_a_model_of_a_provider_needs_a_price() -> None:
    with pytest.raises(ValidationError, match="'large' needs price_micro_per_token"):
        table()
    free = table(price_micro_per_token={"prompt": 0, "completion": 0})
    assert free.priced(call("large", Usage(10, 10))).cost_micro == 0


def test_every_call_has_its_price() -> None:
    priced = table(price_micro_per_token={"prompt": 1, "completion": 5}).priced
    assert priced(call("large", Usage(10, 10))).cost_micro == 60
    assert priced(call("small", Usage(10, 10))).cost_micro == 0
    assert priced(call("gone", Usage(10, 10))).cost_micro == 60
    assert priced(call("", Usage(), CallKind.CACHE)).cost_micro == 2
    assert priced(ModelCall(CallKind.ANSWER, "cloud", "large", Usage(10, 10), cost_micro=7)).cost_micro == 7
    embedded = ModelCall(CallKind.EMBEDDING, "", "text-embedding-3-small", Usage(embedded_tokens=1_000))
    assert load_models().priced(embedded).cost_micro == 20
