"""Stripe's objects as our rows."""

from datetime import UTC, datetime
from typing import Any

from billing.account import Object
from billing.catalog import plan_key_of
from storage.postgres.billing import InvoiceRow, SubscriptionRow

LIVE = frozenset({"active", "trialing", "past_due"})
"""States in which a subscription can be moved to another plan."""
ENDED = frozenset({"canceled", "incomplete_expired"})


def subscription_row(subscription: Object) -> SubscriptionRow:
    """Raises InvalidInput when it is to a plan that is not ours."""
    item = subscription["items"]["data"][0]
    # The period moved from the subscription to its items in API version 2025-03-31.
    end = item.get("current_period_end") or subscription.get("current_period_end")
    return SubscriptionRow(
        id=subscription["id"],
        plan=plan_key_of(subscription),
        status=subscription["status"],
        current_period_end=_moment(end) if end else None,
        created_at=_moment(subscription["created"]),
    )


def invoice_row(invoice: Object) -> InvoiceRow:
    return InvoiceRow(
        id=invoice["id"],
        number=invoice.get("number"),
        status=invoice.get("status") or "draft",
        currency=invoice["currency"],
        amount_due=int(invoice["amount_due"]),
        amount_paid=int(invoice["amount_paid"]),
        hosted_url=invoice.get("hosted_invoice_url"),
        created_at=_moment(invoice["created"]),
    )


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
