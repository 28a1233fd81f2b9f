"""A tenant's subscription: begin, change and end it, look at it, and list what was paid."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import structlog

from billing.account import PAGE, Object, StripeAccount, default_secret
from billing.catalog import ensure_plan, is_ours, plan_key_of
from billing.door import ensure_customer, exclusive_tx
from billing.effects import record_ended, record_invoice, record_subscription
from billing.entitlements import free_plan, plan_of
from billing.failures import UNAVAILABLE
from billing.inbox import process_inbox, store_event
from billing.records import ENDED, LIVE
from billing.signature import read_event
from configs.settings import Settings
from configs.tables import load_plans
from domain.audit import Action, Origin, Target
from domain.errors import AppError, InvalidInput, Unavailable
from domain.ids import TenantId
from domain.plans import Plan
from storage.postgres.audit import Audit
from storage.postgres.billing import BillingRows, InvoiceRow, SubscriptionRow
from storage.postgres.database import Database, Transaction, tenant_tx

log = structlog.get_logger(__name__)

LONGEST_CHANGE_SECONDS = 45.0
"""Less than the database allows a transaction to idle."""
LONGEST_LOOK_SECONDS = 10.0
FRESH = timedelta(seconds=60)
"""How old our list of invoices may be before Stripe is asked again."""
KEY_SECONDS = 600
CHANGES_AT_ONCE = 2
"""A change holds a database connection while it waits for Stripe; the others must keep theirs."""


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """The subscription as the tenant sees it; `id` is None on the free plan."""

    id: str | None
    plan: str
    status: str
    current_period_end: datetime | None
    client_secret: str | None = None


class Billing:
    """One per process, on the event loop that uses it."""

    def __init__(self, db: Database, account: StripeAccount, webhook_secret: str) -> None:
        self._db = db
        self._account = account
        self._secret = webhook_secret
        self._changes = asyncio.Semaphore(CHANGES_AT_ONCE)
        self._working = asyncio.Lock()

    @classmethod
    def open(cls, db: Database, settings: Settings) -> "Billing":
        secret = settings.stripe_webhook_secret.get_secret_value()
        if settings.profile == "kubernetes" and secret == default_secret(settings, "stripe_webhook_secret"):
            # Everybody can read the default: no event is better than anybody's.
            secret = ""
        return cls(db, StripeAccount.open(settings), secret)

    async def close(self) -> None:
        await self._account.close()

    async def current(self, tenant_id: TenantId) -> SubscriptionState:
        """The subscription that counts, as last heard from Stripe; the free plan without any."""
        async with tenant_tx(self._db, tenant_id) as tx:
            plan = await plan_of(tx, tenant_id)
            rows = [row for row in await BillingRows(tx).subscriptions(tenant_id) if row.status not in ENDED]
        row = next((row for row in rows if row.status in LIVE), rows[0] if rows else None)
        return SubscriptionState(None, plan.key, "active", None) if row is None else _state(row)

    async def subscribe(
        self, tenant_id: TenantId, plan_key: str, method_id: str | None, origin: Origin
    ) -> SubscriptionState:
        """Begin or change the subscription, or end it when `plan_key` is the free plan.

        The tenant's plan changes only with a paid subscription. An `incomplete` one waits for its first payment:
        confirm it with `client_secret`. Raises InvalidInput for an unknown plan or payment method, PaymentRequired
        when there is no method or the card is declined, Conflict during another change, Unavailable without Stripe.
        """
        plan = load_plans().get(plan_key)
        if plan is None:
            raise InvalidInput(f"There is no plan named {plan_key!r}.")
        try:
            async with self._changes, asyncio.timeout(LONGEST_CHANGE_SECONDS):
                return await self._change(tenant_id, plan, method_id, origin)
        except TimeoutError as error:
            raise Unavailable(UNAVAILABLE) from error

    async def history(self, tenant_id: TenantId) -> list[InvoiceRow]:
        """The newest hundred invoices, newest first; asks Stripe when our list is older than a minute."""
        async with tenant_tx(self._db, tenant_id) as tx:
            rows = BillingRows(tx)
            customer_id = await rows.customer_id(tenant_id)
            invoices, looked = await rows.invoices(tenant_id, PAGE)
        if customer_id is None or (looked is not None and datetime.now(UTC) - looked < FRESH):
            return invoices
        try:
            async with asyncio.timeout(LONGEST_LOOK_SECONDS), self._changes, tenant_tx(self._db, tenant_id) as tx:
                rows = BillingRows(tx)
                if await rows.try_lock(tenant_id):
                    for invoice in await self._account.list_invoices(customer_id):
                        await record_invoice(tx, tenant_id, invoice)
                return (await rows.invoices(tenant_id, PAGE))[0]
        except (AppError, TimeoutError) as error:
            # Our own rows are right as of the last webhook: better than no answer.
            log.warning("invoices_not_refreshed", tenant_id=str(tenant_id), error=type(error).__name__)
            return invoices

    async def receive(self, body: bytes, signature: str | None) -> bool:
        """Store a webhook; True when it is new. Raises InvalidInput and TooLarge, see `billing.signature`."""
        return await store_event(self._db, read_event(body, signature, self._secret))

    async def work_inbox(self) -> int:
        """Handle stored webhooks, see `billing.inbox`; one round at a time per process."""
        async with self._working:
            return await process_inbox(self._db, self._account)

    async def _change(
        self, tenant_id: TenantId, plan: Plan, method_id: str | None, origin: Origin
    ) -> SubscriptionState:
        if plan.key == free_plan().key:
            return await self._end(tenant_id, origin)
        customer = await ensure_customer(self._db, self._account, tenant_id)
        if method_id is not None:
            await self._account.attach_method(customer["id"], method_id)
            customer = await self._account.find_customer(customer["id"]) or customer
        plan_id = await ensure_plan(self._account, plan)
        async with exclusive_tx(self._db, tenant_id) as tx:
            present = await self._present(tx, tenant_id, customer["id"])
            if present is not None and present["status"] not in LIVE:
                await self._cancel(tx, tenant_id, present["id"])
                present = None
            if present is None:
                metadata = {"tenant_id": str(tenant_id), "plan": plan.key}
                key = _key("subscribe", tenant_id, plan_id, customer["id"], method_id)
                subscription = await self._account.create_subscription(customer, plan_id, metadata, key)
            elif plan_key_of(present) != plan.key:
                # The latest invoice tells going to and fro between two plans from asking twice.
                key = _key("change", tenant_id, plan_id, present["id"], present.get("latest_invoice"), method_id)
                subscription = await self._account.change_plan(present, plan_id, key)
            else:
                subscription = present
            row = await record_subscription(tx, tenant_id, subscription)
            details = {"plan": plan.key, "status": row.status}
            await Audit(tx).append(tenant_id, origin, Action.PLAN_CHECKOUT, Target("subscription", row.id), details)
        return _state(row, await self._account.client_secret(subscription))

    async def _end(self, tenant_id: TenantId, origin: Origin) -> SubscriptionState:
        async with exclusive_tx(self._db, tenant_id) as tx:
            for row in await BillingRows(tx).subscriptions(tenant_id):
                if row.status not in ENDED:
                    await self._cancel(tx, tenant_id, row.id)
            target = Target("tenant", str(tenant_id))
            await Audit(tx).append(tenant_id, origin, Action.PLAN_CHECKOUT, target, {"plan": free_plan().key})
        return await self.current(tenant_id)

    async def _present(self, tx: Transaction, tenant_id: TenantId, customer_id: str) -> Object | None:
        """The newest subscription that Stripe has going for us; our rows agree with Stripe afterwards."""
        going = [found for found in await self._account.list_subscriptions(customer_id) if is_ours(found)]
        for subscription in going:
            await record_subscription(tx, tenant_id, subscription)
        listed = {subscription["id"] for subscription in going}
        for row in await BillingRows(tx).subscriptions(tenant_id):
            if row.status not in ENDED and row.id not in listed:
                await record_ended(tx, tenant_id, row.id)
        return next((found for found in going if found["status"] in LIVE), going[0] if going else None)

    async def _cancel(self, tx: Transaction, tenant_id: TenantId, subscription_id: str) -> None:
        ended = await self._account.cancel_subscription(subscription_id)
        if ended is None:
            await record_ended(tx, tenant_id, subscription_id)
        else:
            await record_subscription(tx, tenant_id, ended)


def _state(row: SubscriptionRow, client_secret: str | None = None) -> SubscriptionState:
    return SubscriptionState(row.id, row.plan, row.status, row.current_period_end, client_secret)


def _key(verb: str, *parts: object) -> str:
    """An idempotency key: the same wish within ten minutes gives the same key, also from another process.

    Not longer, because Stripe repeats a refusal too, and a card may be good again by then.
    """
    parts = (*parts, int(time.time() // KEY_SECONDS))
    return f"{verb}:{sha256(repr([str(part) for part in parts]).encode()).hexdigest()}"
