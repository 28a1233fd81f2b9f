"""The end of a tenant's subscriptions when the tenant itself ends."""

from billing.account import StripeAccount
from billing.door import exclusive_tx
from billing.effects import record_ended, record_subscription
from billing.records import ENDED
from domain.ids import TenantId
from storage.postgres.billing import BillingRows
from storage.postgres.database import Database


async def end_subscriptions(db: Database, account: StripeAccount, tenant_id: TenantId) -> int:
    """Cancel what has not ended; how many. May be repeated. Raises Conflict and what `StripeAccount` raises."""
    async with exclusive_tx(db, tenant_id) as tx:
        going = [row for row in await BillingRows(tx).subscriptions(tenant_id) if row.status not in ENDED]
        for row in going:
            ended = await account.cancel_subscription(row.id)
            if ended is None:
                await record_ended(tx, tenant_id, row.id)
            else:
                await record_subscription(tx, tenant_id, ended)
    return len(going)
