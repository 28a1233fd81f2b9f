"""Keeps and works off Stripe's events: each is a hint to fetch its object anew, so that their order does not matter."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from billing.account import StripeAccount
from billing.effects import record_ended, record_invoice, record_subscription
from domain.audit import Action, ActorKind, Origin, Target
from domain.errors import AppError
from domain.ids import TenantId
from storage.postgres.audit import Audit
from storage.postgres.billing import BillingRows, InboxEvent
from storage.postgres.database import Database, Transaction, system_tx

log = structlog.get_logger(__name__)

Handler = Callable[[Transaction, StripeAccount, TenantId, str], Coroutine[Any, Any, None]]


async def store_event(db: Database, event: dict[str, Any]) -> bool:
    """Keep a verified event, see `billing.signature`; False when its id is here already."""
    async with system_tx(db) as tx:
        return await BillingRows(tx).store_event(event["id"], event["type"], event)


async def process_inbox(db: Database, account: StripeAccount, *, limit: int = 100) -> int:
    """Handle up to `limit` events that are due, oldest first; how many succeeded.

    Many processes may do this at once: an event is claimed by a row lock, and what fails is kept with its error and
    comes again later. Raises Unavailable when the database cannot be reached.
    """
    seen: list[str] = []
    succeeded = 0
    while len(seen) < limit:
        async with system_tx(db) as tx:
            event = await BillingRows(tx).claim_event(seen)
            if event is None:
                break
            seen.append(event.id)
            succeeded += await _handle(tx, account, event)
    return succeeded


async def _handle(tx: Transaction, account: StripeAccount, event: InboxEvent) -> bool:
    rows = BillingRows(tx)
    try:
        # A savepoint: half an effect is undone, the attempt is still counted.
        async with tx.transaction():
            await _apply(tx, account, event)
    except AppError as error:
        log.warning("webhook_failed", event_id=event.id, kind=event.kind, attempt=event.attempts + 1, code=error.code)
        await rows.event_failed(event.id, f"{type(error).__name__}: {error.message}")
        return False
    except Exception as error:
        log.exception("webhook_failed", event_id=event.id, kind=event.kind, attempt=event.attempts + 1)
        await rows.event_failed(event.id, type(error).__name__)
        return False
    await rows.event_processed(event.id)
    return True


async def _apply(tx: Transaction, account: StripeAccount, event: InboxEvent) -> None:
    handler = _handler(event.kind)
    thing = event.payload["data"]["object"]
    thing_id, customer_id = thing.get("id"), thing.get("customer")
    if handler is None or not isinstance(thing_id, str) or not isinstance(customer_id, str):
        return
    tenant_id = await BillingRows(tx).tenant_of_customer(customer_id)
    if tenant_id is None:
        log.info("webhook_of_no_tenant", event_id=event.id, kind=event.kind)
        return
    # Fetching under the lock: whoever fetches later also writes later, so the newest state stays.
    await BillingRows(tx).lock(tenant_id)
    before = await BillingRows(tx).plan_key(tenant_id)
    await handler(tx, account, tenant_id, thing_id)
    after = await BillingRows(tx).plan_key(tenant_id)
    if after != before:
        by, details = Origin(ActorKind.STRIPE, event.id), {"plan": after, "before": before, "cause": event.kind}
        await Audit(tx).append(tenant_id, by, Action.PLAN_CHANGE, Target("tenant", str(tenant_id)), details)


def _handler(kind: str) -> Handler | None:
    if kind.startswith("customer.subscription."):
        return _refresh_subscription
    if kind.startswith("invoice."):
        return _refresh_invoice
    return None


async def _refresh_subscription(tx: Transaction, account: StripeAccount, tenant_id: TenantId, thing_id: str) -> None:
    subscription = await account.find_subscription(thing_id)
    if subscription is None:
        await record_ended(tx, tenant_id, thing_id)
    else:
        await record_subscription(tx, tenant_id, subscription)


async def _refresh_invoice(tx: Transaction, account: StripeAccount, tenant_id: TenantId, thing_id: str) -> None:
    invoice = await account.find_invoice(thing_id)
    if invoice is None:
        await BillingRows(tx).delete_invoice(tenant_id, thing_id)
        return
    await record_invoice(tx, tenant_id, invoice)
    # The double sends no event when a payment makes a subscription active, and Stripe's may come later.
    subscription_id = invoice.get("subscription") or _parent_subscription(invoice)
    if isinstance(subscription_id, str):
        await _refresh_subscription(tx, account, tenant_id, subscription_id)


def _parent_subscription(invoice: dict[str, Any]) -> Any:
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return details.get("subscription")
