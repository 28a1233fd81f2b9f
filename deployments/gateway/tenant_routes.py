"""What a company asks of its people."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from deployments.gateway.models import Body
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import Conflict
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.database import tenant_tx
from storage.postgres.second_factors import SecondFactors

router = APIRouter(tags=["company"])

Keeper = Annotated[Principal, require(Permission.TENANT_SECURITY)]


class SecurityBody(Body):
    require_mfa: bool


class SecurityModel(BaseModel):
    require_mfa: bool


@router.get("/tenant/security")
async def read_security(services: Services, principal: Keeper) -> SecurityModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return SecurityModel(require_mfa=await SecondFactors(tx).tenant_requires(principal.tenant_id))


@router.patch("/tenant/security")
async def change_security(
    body: SecurityBody, services: Services, principal: Keeper, origin: CurrentOrigin
) -> SecurityModel:
    """With `require_mfa`, whoever lacks a second factor can do nothing but set one up, from the next request on."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        factors = SecondFactors(tx)
        changed = await factors.require_of_tenant(principal.tenant_id, body.require_mfa)
        if changed and await factors.is_lacking(principal.tenant_id, principal.user_id):
            raise Conflict("Set up a second factor of your own first.")
        if changed:
            target = Target("tenant", str(principal.tenant_id))
            details = {"require_mfa": body.require_mfa}
            await Audit(tx).append(principal.tenant_id, origin, Action.TENANT_SECURITY_UPDATE, target, details)
    return SecurityModel(require_mfa=body.require_mfa)
