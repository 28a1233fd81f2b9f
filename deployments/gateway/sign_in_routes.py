"""Where one is signed in, in every tenant that one belongs to, and ending that."""

from datetime import datetime
from typing import Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from deployments.gateway.access_end import announce, end_access
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import CurrentPrincipal
from deployments.gateway.services import Services
from domain.audit import Action, Origin, Target
from domain.errors import NotFound
from domain.ids import SignInId, TenantId
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction, system_tx
from storage.postgres.sign_ins import SignIn, SignIns

router = APIRouter(tags=["accounts"])


class SignInModel(BaseModel):
    id: UUID
    current: bool = Field(description="Whether this request's token is of it.")
    tenant_id: UUID
    tenant_name: str
    method: str
    user_agent: str
    ip: str | None = Field(description="Where it was last used from.")
    created_at: datetime
    last_used_at: datetime = Field(description="When tokens were last given; at most an access token's life ago.")
    expires_at: datetime

    @classmethod
    def of(cls, sign_in: SignIn, principal: Principal) -> Self:
        return cls(
            id=sign_in.id,
            current=sign_in.id == principal.sign_in_id,
            tenant_id=sign_in.tenant_id,
            tenant_name=sign_in.tenant_name,
            method=sign_in.method,
            user_agent=sign_in.user_agent,
            ip=sign_in.ip,
            created_at=sign_in.created_at,
            last_used_at=sign_in.last_used_at,
            expires_at=sign_in.expires_at,
        )


class SignInList(BaseModel):
    items: list[SignInModel]


class EndedModel(BaseModel):
    ended: int


@router.get("/auth/sessions")
async def list_sign_ins(services: Services, principal: CurrentPrincipal) -> SignInList:
    """Of this person in all of their companies, the last used first: one password opens them all."""
    async with system_tx(services.db) as tx:
        found = await SignIns(tx).list_of(principal.user_id)
    return SignInList(items=[SignInModel.of(sign_in, principal) for sign_in in found])


@router.delete("/auth/sessions/{sign_in_id}", status_code=204)
async def end_sign_in(
    sign_in_id: UUID, services: Services, principal: CurrentPrincipal, origin: CurrentOrigin
) -> Response:
    """Its tokens stop at once, its sockets close within seconds. One's own is as good as logging out."""
    async with system_tx(services.db) as tx:
        tenant_id = await SignIns(tx).end(principal.user_id, SignInId(sign_in_id))
        if tenant_id is None:
            raise NotFound("There is no such session.")
        await _record(tx, tenant_id, SignInId(sign_in_id), origin)
    await announce(services, [(tenant_id, SignInId(sign_in_id))])
    return Response(status_code=204)


@router.post("/auth/sessions/revoke-others")
async def end_other_sign_ins(services: Services, principal: CurrentPrincipal, origin: CurrentOrigin) -> EndedModel:
    """All but the one that asks, in every company."""
    async with system_tx(services.db) as tx:
        ended = await end_access(tx, principal.user_id, but=principal.sign_in_id)
        for tenant_id, sign_in_id in ended:
            await _record(tx, tenant_id, sign_in_id, origin)
    await announce(services, ended)
    return EndedModel(ended=len(ended))


async def _record(tx: Transaction, tenant_id: TenantId, sign_in_id: SignInId, origin: Origin) -> None:
    await Audit(tx).append(tenant_id, origin, Action.SIGN_IN_REVOKE, Target("sign_in", str(sign_in_id)))
