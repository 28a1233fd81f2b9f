"""The door to a tenant's billing: one change at a time, and its customer at Stripe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from billing.account import Object, StripeAccount
from domain.errors import Conflict, NotFound
from domain.ids import TenantId
from storage.postgres.billing import BillingRows
from storage.postgres.database import Database, Transaction, system_tx, tenant_tx


@asynccontextmanager
async def exclusive_tx(db: Database, tenant_id: TenantId) -> AsyncIterator[Transaction]:
    """A transaction in which nobody else changes the tenant's billing. Raises Conflict instead of waiting."""
    async with tenant_tx(db, tenant_id) as tx:
        if not await BillingRows(tx).try_lock(tenant_id):
            raise Conflict("Another change of the subscription is being made; try again.", retry_after=5)
        yield tx


async def ensure_customer(db: Database, account: StripeAccount, tenant_id: TenantId) -> Object:
    """The tenant's customer at Stripe, made when there is none (any more), and committed.

    Committed before anything else happens at Stripe, so that a webhook of it finds the tenant.
    """
    async with system_tx(db) as system:
        profile = await BillingRows(system).profile(tenant_id)
    if profile is None:
        raise NotFound("There is no such account.")
    async with exclusive_tx(db, tenant_id) as tx:
        rows = BillingRows(tx)
        known_id = await rows.customer_id(tenant_id)
        customer = await account.find_customer(known_id) if known_id else None
        if customer is None:
            customer = await account.create_customer(tenant_id, profile.name, profile.email, known_id)
            await rows.set_customer(tenant_id, customer["id"])
    return customer
