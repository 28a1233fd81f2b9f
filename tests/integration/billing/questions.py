"""What the billing tests ask the database, and the events that they send."""

from typing import Any
from uuid import uuid4

import httpx

from billing.entitlements import plan_of
from domain.ids import TenantId
from storage.postgres.billing import BillingRows, InvoiceRow
from storage.postgres.database import Database, system_tx, tenant_tx
from tests.fixtures.stripe_double import signed

GOOD, DECLINED, FAILS_LATER = "pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_chargeCustomerFail"


async def plan_key(db: Database, tenant_id: TenantId) -> str:
    async with tenant_tx(db, tenant_id) as tx:
        return (await plan_of(tx, tenant_id)).key


async def customer_of(db: Database, tenant_id: TenantId) -> str:
    async with tenant_tx(db, tenant_id) as tx:
        found = await BillingRows(tx).customer_id(tenant_id)
    assert found is not None
    return found


async def invoices_of(db: Database, tenant_id: TenantId) -> list[InvoiceRow]:
    async with tenant_tx(db, tenant_id) as tx:
        return (await BillingRows(tx).invoices(tenant_id, 10))[0]


async def events_of(db: Database, tenant_id: TenantId) -> list[dict[str, Any]]:
    async with tenant_tx(db, tenant_id) as tx:
        found = await tx.execute("select payload from outbox where kind = 'subscription.changed' order by id")
        return [row["payload"] for row in await found.fetchall()]


def event(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"evt_{uuid4().hex}", "object": "event", "type": kind, "data": {"object": thing}}


async def send(api: httpx.AsyncClient, sent: dict[str, Any]) -> httpx.Response:
    body, header = signed(sent)
    return await api.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": header})


async def inbox_row(db: Database, event_id: str) -> dict[str, Any] | None:
    async with system_tx(db) as tx:
        return await (await tx.execute("select * from webhook_inbox where id = %s", (event_id,))).fetchone()
