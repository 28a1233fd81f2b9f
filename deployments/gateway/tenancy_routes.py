"""One person in several companies: which there are, another one founded, and the switch between them."""

from fastapi import APIRouter

from deployments.gateway.attempts import count_attempt
from deployments.gateway.device import CurrentDevice
from deployments.gateway.grants import begin_sign_in
from deployments.gateway.models import GrantModel
from deployments.gateway.origin import Client, CurrentOrigin
from deployments.gateway.people_models import BelongingList, BelongingModel, CompanyBody, SwitchBody
from deployments.gateway.principal import CurrentPrincipal
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import NotFound
from domain.ids import TenantId
from domain.tenancy import SignInMethod
from storage.postgres.accounts import Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx
from storage.postgres.people import People

router = APIRouter(tags=["accounts"])


@router.get("/me/tenants")
async def list_tenants(services: Services, principal: CurrentPrincipal) -> BelongingList:
    """The companies that one belongs to, the oldest membership first."""
    async with system_tx(services.db) as tx:
        found = await People(tx).tenants(principal.user_id)
    return BelongingList(items=[BelongingModel.of(belonging, principal.tenant_id) for belonging in found])


@router.post("/auth/switch")
async def switch(
    body: SwitchBody, services: Services, principal: CurrentPrincipal, origin: CurrentOrigin, device: CurrentDevice
) -> GrantModel:
    """Tokens for another of one's companies. Those of the present one go on to work; log out to end them."""
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(principal.user_id, TenantId(body.tenant_id))
        if account is None:
            raise NotFound("You do not belong to such a company.")
        grant = await begin_sign_in(services, tx, account, device, SignInMethod.SWITCH)
        target = Target("user", str(principal.user_id))
        await Audit(tx).append(account.tenant.id, origin, Action.USER_LOGIN, target, {"switched": True})
    return grant


@router.post("/tenants", status_code=201)
async def found_tenant(
    body: CompanyBody,
    services: Services,
    principal: CurrentPrincipal,
    client: Client,
    origin: CurrentOrigin,
    device: CurrentDevice,
) -> GrantModel:
    """Another company, owned by who is signed in; the answer's tokens are for it."""
    await count_attempt(services, client, str(principal.user_id))
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).found(principal.user_id, body.company)
        if account is None:
            raise NotFound("This account no longer exists.")
        grant = await begin_sign_in(services, tx, account, device, SignInMethod.SWITCH)
        target = Target("tenant", str(account.tenant.id))
        await Audit(tx).append(account.tenant.id, origin, Action.TENANT_REGISTER, target)
    return grant
