"""What a tenant's plan entitles it to; a downgrade below present use only refuses new things."""

import structlog

from configs.tables import load_plans
from domain.errors import NotFound
from domain.ids import TenantId
from domain.plans import Plan
from storage.postgres.billing import BillingRows
from storage.postgres.database import Transaction

log = structlog.get_logger(__name__)


def free_plan() -> Plan:
    """The plan of who pays nothing: the first of the price list."""
    return next(iter(load_plans().values()))


async def plan_of(tx: Transaction, tenant_id: TenantId) -> Plan:
    """The tenant's plan now. Raises NotFound without such a tenant."""
    return _plan(await BillingRows(tx).plan_key(tenant_id), tenant_id)


async def locked_plan_of(tx: Transaction, tenant_id: TenantId) -> Plan:
    """As `plan_of`, and nobody else passes here for this tenant until `tx` ends: count, compare and insert safely."""
    return _plan(await BillingRows(tx).plan_key(tenant_id, locked=True), tenant_id)


def _plan(key: str | None, tenant_id: TenantId) -> Plan:
    if key is None:
        raise NotFound("There is no such account.")
    plan = load_plans().get(key)
    if plan is None:
        # A plan that left the price list: the smallest limits are the safe ones until an operator acts.
        log.error("plan_unknown", plan=key, tenant_id=str(tenant_id))
        return free_plan()
    return plan
