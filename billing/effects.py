"""What a state of Stripe's changes here: rows, the tenant's plan and an event, in the caller's transaction."""

from billing.account import Object
from billing.entitlements import free_plan
from billing.records import invoice_row, subscription_row
from domain.events import EventKind
from domain.ids import TenantId
from storage.postgres.billing import BillingRows, SubscriptionRow
from storage.postgres.database import Transaction
from storage.postgres.outbox import Outbox

NEVER_PAID = frozenset({"incomplete", "incomplete_expired"})
"""Such a subscription gave no plan, so that it takes none away."""


async def record_subscription(tx: Transaction, tenant_id: TenantId, subscription: Object) -> SubscriptionRow:
    """Take over a subscription as just fetched from Stripe; the same state twice does nothing the second time."""
    rows = BillingRows(tx)
    row = subscription_row(subscription)
    if await rows.save_subscription(tenant_id, row):
        await _settle(tx, tenant_id, row.id, row.status)
    return row


async def record_ended(tx: Transaction, tenant_id: TenantId, subscription_id: str) -> None:
    """Take over that Stripe does not know the subscription (any more)."""
    if await BillingRows(tx).end_subscription(tenant_id, subscription_id):
        await _settle(tx, tenant_id, subscription_id, "canceled")


async def record_invoice(tx: Transaction, tenant_id: TenantId, invoice: Object) -> None:
    await BillingRows(tx).save_invoice(tenant_id, invoice_row(invoice))


async def _settle(tx: Transaction, tenant_id: TenantId, subscription_id: str, status: str) -> None:
    rows = BillingRows(tx)
    if status in NEVER_PAID:
        plan = await rows.plan_key(tenant_id)
    else:
        plan = await rows.settle_plan(tenant_id, free_plan().key)
    await Outbox(tx).append(
        tenant_id,
        EventKind.SUBSCRIPTION_CHANGED,
        f"tenant:{tenant_id}",
        {"subscription_id": subscription_id, "status": status, "plan": plan},
    )
