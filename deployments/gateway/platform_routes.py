"""For the platform's own staff: how much each tenant has, and its suspension. Each use is in the tenant's audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from deployments.gateway.models import Limit
from deployments.gateway.origin import AnonymousOrigin, of_staff
from deployments.gateway.people_models import SuspensionBody, TenantSummaryModel, TenantSummaryPage
from deployments.gateway.principal import require_staff
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import Conflict
from domain.ids import TenantId
from domain.staff import StaffMember, StaffPermission
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx
from storage.postgres.staff import Tenants
from storage.redis.access import announce_end

router = APIRouter(prefix="/platform", tags=["platform"])

Reader = Annotated[StaffMember, require_staff(StaffPermission.TENANTS_READ)]
Suspender = Annotated[StaffMember, require_staff(StaffPermission.TENANTS_SUSPEND)]


@router.get("/tenants")
async def list_tenants(
    services: Services, staff: Reader, origin: AnonymousOrigin, limit: Limit = 50, cursor: UUID | None = None
) -> TenantSummaryPage:
    """The oldest first: names, plans and counts, no content."""
    by = of_staff(origin, staff.user_id)
    async with system_tx(services.db) as tx:
        found = await Tenants(tx).list_page(limit + 1, TenantId(cursor) if cursor else None)
        # The order of the list is one order: no two readings wait for each other.
        for tenant in found[:limit]:
            await Audit(tx).append(tenant.id, by, Action.STAFF_READ, Target("tenant", str(tenant.id)))
    more = str(found[limit - 1].id) if len(found) > limit else None
    return TenantSummaryPage(items=[TenantSummaryModel.of(tenant) for tenant in found[:limit]], next_cursor=more)


@router.post("/tenants/{tenant_id}/suspend", status_code=204)
async def suspend(
    tenant_id: UUID, body: SuspensionBody, services: Services, staff: Suspender, origin: AnonymousOrigin
) -> Response:
    """From now on the tenant's log-ins, requests and chats are refused with `tenant_suspended`; its data stays."""
    if tenant_id == staff.tenant_id:
        raise Conflict("This is the company that you are signed in to: you would lock yourself out.")
    tenant = TenantId(tenant_id)
    async with system_tx(services.db) as tx:
        if await Tenants(tx).suspend(tenant):
            by, target = of_staff(origin, staff.user_id), Target("tenant", str(tenant_id))
            await Audit(tx).append(tenant, by, Action.TENANT_SUSPEND, target, {"reason": body.reason})
    await announce_end(services.redis, tenant)
    return Response(status_code=204)


@router.post("/tenants/{tenant_id}/resume", status_code=204)
async def resume(tenant_id: UUID, services: Services, staff: Suspender, origin: AnonymousOrigin) -> Response:
    """End the suspension."""
    tenant = TenantId(tenant_id)
    async with system_tx(services.db) as tx:
        if await Tenants(tx).resume(tenant):
            by, target = of_staff(origin, staff.user_id), Target("tenant", str(tenant_id))
            await Audit(tx).append(tenant, by, Action.TENANT_RESUME, target)
    return Response(status_code=204)
