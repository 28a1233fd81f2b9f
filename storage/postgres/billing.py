"""Repository of customers, subscriptions, invoices and the inbox of Stripe's events."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.ids import TenantId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("billing")


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    id: str
    """Stripe's id."""
    plan: str
    """Our key of the plan."""
    status: str
    """Stripe's word: active, trialing, past_due, incomplete, canceled …"""
    current_period_end: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    id: str
    number: str | None
    status: str
    currency: str
    amount_due: int
    """In the currency's smallest unit, as is `amount_paid`."""
    amount_paid: int
    hosted_url: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BillingProfile:
    name: str
    email: str | None
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class InboxEvent:
    id: str
    kind: str
    payload: dict[str, Any]
    attempts: int


class BillingRows:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def try_lock(self, tenant_id: TenantId) -> bool:
        """Be the only one to change the tenant's billing until the transaction ends; False when another one is."""
        row = await fetch_one(self._tx, _SQL["try_lock"], tenant_id=tenant_id)
        return row is not None and bool(row["held"])

    async def lock(self, tenant_id: TenantId) -> None:
        """As `try_lock`, but waits."""
        await fetch_one(self._tx, _SQL["lock"], tenant_id=tenant_id)

    async def plan_key(self, tenant_id: TenantId, *, locked: bool = False) -> str | None:
        """The tenant's plan; None without such a tenant. `locked` holds the row until the transaction ends."""
        row = await fetch_one(self._tx, _SQL["plan_key_locked" if locked else "plan_key"], tenant_id=tenant_id)
        return row["plan"] if row else None

    async def profile(self, tenant_id: TenantId) -> BillingProfile | None:
        """Needs a system transaction, because people belong to no tenant."""
        row = await fetch_one(self._tx, _SQL["profile"], tenant_id=tenant_id)
        return BillingProfile(**row) if row else None

    async def customer_id(self, tenant_id: TenantId) -> str | None:
        row = await fetch_one(self._tx, _SQL["customer_id"], tenant_id=tenant_id)
        return row["customer_id"] if row else None

    async def set_customer(self, tenant_id: TenantId, customer_id: str) -> None:
        await execute(self._tx, _SQL["set_customer"], tenant_id=tenant_id, customer_id=customer_id)

    async def tenant_of_customer(self, customer_id: str) -> TenantId | None:
        """Needs a system transaction."""
        row = await fetch_one(self._tx, _SQL["tenant_of_customer"], customer_id=customer_id)
        return TenantId(row["id"]) if row else None

    async def subscriptions(self, tenant_id: TenantId) -> list[SubscriptionRow]:
        """Every one the tenant had, newest first."""
        return [SubscriptionRow(**row) for row in await fetch_all(self._tx, _SQL["subscriptions"], tenant_id=tenant_id)]

    async def save_subscription(self, tenant_id: TenantId, row: SubscriptionRow) -> bool:
        """Insert or update; True when something changed."""
        return await fetch_one(self._tx, _SQL["save_subscription"], tenant_id=tenant_id, **asdict(row)) is not None

    async def end_subscription(self, tenant_id: TenantId, subscription_id: str) -> bool:
        """Mark as canceled; True when it was not yet."""
        return await fetch_one(self._tx, _SQL["end_subscription"], tenant_id=tenant_id, id=subscription_id) is not None

    async def settle_plan(self, tenant_id: TenantId, free: str) -> str:
        """Set the tenant's plan to what its subscriptions give, `free` without any; returns the plan's key."""
        row = await fetch_one(self._tx, _SQL["settle_plan"], tenant_id=tenant_id, free=free)
        return str(row["plan"]) if row else free

    async def save_invoice(self, tenant_id: TenantId, row: InvoiceRow) -> None:
        await execute(self._tx, _SQL["save_invoice"], tenant_id=tenant_id, **asdict(row))

    async def delete_invoice(self, tenant_id: TenantId, invoice_id: str) -> None:
        await execute(self._tx, _SQL["delete_invoice"], tenant_id=tenant_id, id=invoice_id)

    async def invoices(self, tenant_id: TenantId, limit: int) -> tuple[list[InvoiceRow], datetime | None]:
        """The newest invoices, newest first, and when the one looked at longest ago was compared with Stripe."""
        rows = await fetch_all(self._tx, _SQL["invoices"], tenant_id=tenant_id, limit=limit)
        looked = min((row.pop("updated_at") for row in rows), default=None)
        return [InvoiceRow(**row) for row in rows], looked

    async def store_event(self, event_id: str, kind: str, payload: dict[str, Any]) -> bool:
        """Keep an event of Stripe's; False when its id is here already."""
        row = await fetch_one(self._tx, _SQL["store_event"], id=event_id, kind=kind, payload=Jsonb(payload))
        return row is not None

    async def claim_event(self, seen: Sequence[str]) -> InboxEvent | None:
        """The oldest event that is due and not in `seen`, locked until the transaction ends."""
        row = await fetch_one(self._tx, _SQL["claim_event"], seen=list(seen))
        return InboxEvent(**row) if row else None

    async def event_processed(self, event_id: str) -> None:
        await execute(self._tx, _SQL["event_processed"], id=event_id)

    async def event_failed(self, event_id: str, error: str) -> None:
        await execute(self._tx, _SQL["event_failed"], id=event_id, error=error)
