"""The price list, the limits that plans set, and their counterparts at Stripe."""

from itertools import pairwise
from typing import Any

import pytest
import stripe

from billing.catalog import is_ours, plan_key_of, stripe_plan_id
from billing.entitlements import free_plan
from billing.failures import stripe_failures
from billing.records import invoice_row, subscription_row
from configs.tables import load_plans
from domain.errors import AppError, Conflict, InvalidInput, PaymentRequired, QuotaExceeded, Unavailable

PLANS = load_plans()
SDK: Any = stripe
"""Its errors have no types."""


def subscription(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "sub_1", "status": "active", "created": 1_700_000_000, "items": {"data": [item]}, **more}


def test_first_plan_is_free_and_prices_rise() -> None:
    prices = [plan.price_cents for plan in PLANS.values()]
    assert free_plan().price_cents == prices[0] == 0
    assert prices == sorted(prices)


def test_limits_rise_with_the_price() -> None:
    plans = list(PLANS.values())
    for cheaper, dearer in pairwise(plans):
        for name in type(cheaper.limits).model_fields:
            assert getattr(cheaper.limits, name) <= getattr(dearer.limits, name), name


def test_limits_refuse_one_more_and_name_the_plan() -> None:
    plan = free_plan()
    plan.allow_chatbot(plan.limits.max_chatbots - 1)
    with pytest.raises(QuotaExceeded, match="Free plan"):
        plan.allow_chatbot(plan.limits.max_chatbots)
    with pytest.raises(QuotaExceeded):
        plan.allow_chatbot(plan.limits.max_chatbots + 7)
    plan.allow_tokens(0, plan.limits.max_tokens_per_month)
    with pytest.raises(QuotaExceeded):
        plan.allow_tokens(plan.limits.max_tokens_per_month, 1)


@pytest.mark.parametrize("key", PLANS)
def test_plan_is_recognised_by_its_id_at_any_price(key: str) -> None:
    plan = PLANS[key]
    assert plan_key_of(subscription({"plan": {"id": stripe_plan_id(plan)}})) == key
    earlier = plan.model_copy(update={"price_cents": 1})
    assert plan_key_of(subscription({"price": {"id": stripe_plan_id(earlier)}})) == key


def test_plan_is_recognised_by_its_metadata() -> None:
    assert plan_key_of(subscription({"price": {"id": "price_9", "metadata": {"loquent_plan": "pro"}}})) == "pro"


@pytest.mark.parametrize("offer", [{"id": "price_9"}, {"id": "loquent-gold-usd-1-month"}, {"id": None}, None])
def test_foreign_plan_is_not_ours(offer: Any) -> None:
    foreign = subscription({"plan": offer, "price": offer})
    assert not is_ours(foreign)
    with pytest.raises(InvalidInput):
        plan_key_of(foreign)


def test_period_is_read_from_the_item_or_the_subscription() -> None:
    plan = {"id": stripe_plan_id(PLANS["pro"])}
    new = subscription_row(subscription({"plan": plan, "current_period_end": 1_700_000_100}))
    old = subscription_row(subscription({"plan": plan}, current_period_end=1_700_000_100))
    assert new == old
    assert new.current_period_end is not None
    assert new.current_period_end.timestamp() == 1_700_000_100
    assert subscription_row(subscription({"plan": plan})).current_period_end is None


def test_draft_invoice_has_no_number_nor_page() -> None:
    row = invoice_row(
        {
            "id": "in_1",
            "currency": "usd",
            "amount_due": 4900,
            "amount_paid": 0,
            "created": 1_700_000_000,
            "status": None,
        }
    )
    assert (row.number, row.hosted_url, row.status, row.amount_due) == (None, None, "draft", 4900)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (SDK.CardError("No such luck, sk_live_secret", None, "card_declined"), PaymentRequired),
        (SDK.CardError("x", None, "expired_card"), PaymentRequired),
        (SDK.InvalidRequestError("No such customer: sk_live_secret", "customer"), InvalidInput),
        (SDK.IdempotencyError("x"), Conflict),
        (SDK.RateLimitError("x"), Unavailable),
        (SDK.APIConnectionError("Network error: sk_live_secret"), Unavailable),
        (SDK.APIError("x", http_status=500), Unavailable),
        (SDK.AuthenticationError("Invalid API Key: sk_live_secret"), Unavailable),
    ],
)
def test_failures_of_stripe_become_sentences_that_leak_nothing(
    raised: stripe.StripeError, expected: type[AppError]
) -> None:
    with pytest.raises(expected) as seen, stripe_failures():
        raise raised
    assert seen.value.message.endswith(".") or seen.value.message.endswith("try again.")
    assert "sk_live" not in seen.value.message
