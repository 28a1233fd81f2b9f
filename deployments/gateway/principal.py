"""Who is asking and what they may do: the one place where tokens become rights; a TenantId comes from a token."""

from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.tokens import VerifiedChatter
from domain.errors import NotAuthenticated, NotFound
from domain.permissions import Permission, check
from domain.tenancy import Chatter, Principal
from storage.postgres.database import tenant_tx
from storage.postgres.members import Members
from storage.postgres.visitors import Visitors

_bearer = HTTPBearer(auto_error=False, description="The access token from log-in, or a visitor's token to chat.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]

PUBLIC: dict[str, Any] = {"x-permission": "public"}
"""`openapi_extra` of a route that asks nobody who they are."""
_ACCOUNT: dict[str, Any] = {"x-permission": "account"}
"""Any of a tenant's people, about themselves."""


async def present_principal(services: GatewayServices, principal: Principal) -> Principal:
    """With the role of now: a change takes effect at once. Raises NotAuthenticated for who is no member any more."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        role = await Members(tx).role(principal.tenant_id, principal.user_id)
    if role is None:
        raise NotAuthenticated("This account does not belong to the company any more.")
    return replace(principal, role=role)


async def current_principal(services: Services, credentials: Credentials) -> Principal:
    """Raises NotAuthenticated without a valid access token of a present member."""
    if credentials is None:
        raise NotAuthenticated
    principal = services.tokens.verify(credentials.credentials).principal
    structlog.contextvars.bind_contextvars(tenant_id=str(principal.tenant_id))
    return await present_principal(services, principal)


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


@dataclass(frozen=True)
class _PersonWith:
    permission: Permission

    async def __call__(self, principal: CurrentPrincipal) -> Principal:
        check(principal.role, self.permission)
        return principal


def require(permission: Permission) -> Any:
    """The dependency on one of the tenant's people with a permission. It raises NotAuthenticated or Forbidden."""
    return Depends(_PersonWith(permission))


async def permitted_chatter(services: GatewayServices, token: str, permission: Permission) -> VerifiedChatter:
    """One of the tenant's people, or a visitor. Raises NotAuthenticated without a valid token, Forbidden."""
    verified = services.tokens.verify_chatter(token)
    structlog.contextvars.bind_contextvars(tenant_id=str(verified.chatter.tenant_id))
    role = None
    if verified.principal is not None:
        role = (await present_principal(services, verified.principal)).role
    else:
        await _require_present(services, verified.chatter)
    check(role, permission)
    return verified


async def _require_present(services: GatewayServices, chatter: Chatter) -> None:
    """A visitor who was erased is nobody any more, however long the token lives. Raises NotAuthenticated."""
    assert chatter.visitor_id is not None
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        if not await Visitors(tx).exists(chatter.tenant_id, chatter.visitor_id):
            raise NotAuthenticated("This visitor is not known here any more.")


@dataclass(frozen=True)
class _ChatterWith:
    permission: Permission

    async def __call__(self, chatbot_id: UUID, services: Services, credentials: Credentials) -> Chatter:
        if credentials is None:
            raise NotAuthenticated
        chatter = (await permitted_chatter(services, credentials.credentials, self.permission)).chatter
        if chatter.chatbot_id is not None and chatter.chatbot_id != chatbot_id:
            raise NotFound("There is no such chatbot.")
        return chatter


def require_chatter(permission: Permission) -> Any:
    """The dependency on who may chat with the bot of the path, visitors too.

    It raises NotAuthenticated, Forbidden, and NotFound for a visitor of another bot.
    """
    return Depends(_ChatterWith(permission))


ReadingChatter = Annotated[Chatter, require_chatter(Permission.CONVERSATIONS_READ)]
ReplyingChatter = Annotated[Chatter, require_chatter(Permission.CONVERSATIONS_REPLY)]
DeletingChatter = Annotated[Chatter, require_chatter(Permission.CONVERSATIONS_DELETE)]
RatingChatter = Annotated[Chatter, require_chatter(Permission.FEEDBACK_WRITE)]


def record_permissions(app: FastAPI) -> None:
    """Write into the OpenAPI document what each operation needs. Raises RuntimeError for a route that needs nothing
    without saying `PUBLIC`."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        found = _found_in(route.dependant)
        if found is None and "x-permission" not in (route.openapi_extra or {}):
            raise RuntimeError(f"{route.path} has no permission")
        if found is not None:
            route.openapi_extra = {**(route.openapi_extra or {}), **found}


def _found_in(dependant: Dependant) -> dict[str, Any] | None:
    match dependant.call:
        case _PersonWith(permission):
            return {"x-permission": permission.value}
        case _ChatterWith(permission):
            return {"x-permission": permission.value, "x-visitors": True}
    inner = [found for part in dependant.dependencies if (found := _found_in(part))]
    if inner:
        # Who acts, for the audit log, is asked beside what they may do.
        return next((found for found in inner if found is not _ACCOUNT), _ACCOUNT)
    return _ACCOUNT if dependant.call is current_principal else None


def request_id_of(request: Request) -> str:
    found: str = request.state.request_id
    return found


RequestId = Annotated[str, Depends(request_id_of)]
