"""Who is asking and what they may do: the one place where tokens become rights; a TenantId comes from a token."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deployments.gateway.api_keys import found_key, is_api_key
from deployments.gateway.page_origin import PageOrigin
from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.tokens import VerifiedChatter
from domain.errors import Forbidden, MfaEnrolmentRequired, NotAuthenticated, NotFound
from domain.permissions import Permission, check
from domain.staff import StaffMember, StaffPermission, check_staff
from domain.tenancy import Chatter, Principal
from storage.postgres.callers import Caller
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.sign_ins import SignIns
from storage.postgres.staff import Staff
from storage.postgres.visitors import Visitors

_bearer = HTTPBearer(
    auto_error=False, description="The access token from log-in, an API key, or a visitor's token to chat."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]

PUBLIC: dict[str, Any] = {"x-permission": "public"}
"""`openapi_extra` of a route that asks nobody who they are."""
_ACCOUNT: dict[str, Any] = {"x-permission": "account"}
"""Any of a tenant's people, about themselves."""


async def present_principal(services: GatewayServices, principal: Principal, *, enrolling: bool = False) -> Principal:
    """With the role of now: a change takes effect at once, and so does the end of the sign-in.

    Raises NotAuthenticated for who is no member any more, or no longer signed in, TenantSuspended, and
    MfaEnrolmentRequired for who lacks the second factor that the tenant asks for, unless they are `enrolling`.
    """
    standing = None
    if principal.sign_in_id is not None:
        async with tenant_tx(services.db, principal.tenant_id) as tx:
            standing = await SignIns(tx).standing(principal.tenant_id, principal.user_id, principal.sign_in_id)
    if standing is None:
        raise NotAuthenticated("This session has ended, or the account does not belong to the company any more.")
    if standing.lacks_second_factor and not enrolling:
        raise MfaEnrolmentRequired
    return replace(principal, role=standing.role)


async def _caller(services: GatewayServices, credentials: Credentials, *, enrolling: bool = False) -> Principal:
    if credentials is None:
        raise NotAuthenticated
    token = credentials.credentials
    if is_api_key(token):
        principal = (await found_key(services, token)).principal
        structlog.contextvars.bind_contextvars(tenant_id=str(principal.tenant_id))
        return principal
    principal = services.tokens.verify(token).principal
    structlog.contextvars.bind_contextvars(tenant_id=str(principal.tenant_id))
    return await present_principal(services, principal, enrolling=enrolling)


async def current_caller(services: Services, credentials: Credentials) -> Principal:
    """One of the tenant's people, by themselves or through an API key.

    Raises NotAuthenticated, TenantSuspended, MfaEnrolmentRequired.
    """
    return await _caller(services, credentials)


CurrentCaller = Annotated[Principal, Depends(current_caller)]


async def current_principal(caller: CurrentCaller) -> Principal:
    """A person themselves. Raises NotAuthenticated without a valid access token of a present member, Forbidden for an
    API key, and MfaEnrolmentRequired."""
    return _person(caller)


async def enrolling_principal(services: Services, credentials: Credentials) -> Principal:
    """For what somebody needs to set up a second factor: they may lack it yet. Raises NotAuthenticated, Forbidden."""
    return _person(await _caller(services, credentials, enrolling=True))


def _person(caller: Principal) -> Principal:
    if caller.api_key_id is not None:
        raise Forbidden("An API key may not do this; sign in.")
    return caller


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
EnrollingPrincipal = Annotated[Principal, Depends(enrolling_principal)]


@dataclass(frozen=True)
class _PersonWith:
    permission: Permission

    async def __call__(self, caller: CurrentCaller) -> Principal:
        check(caller.role, self.permission, caller.scopes)
        return caller


def require(permission: Permission) -> Any:
    """The dependency on one of the tenant's people with a permission. It raises NotAuthenticated or Forbidden."""
    return Depends(_PersonWith(permission))


@dataclass(frozen=True)
class _StaffWith:
    permission: StaffPermission

    async def __call__(self, services: Services, principal: CurrentPrincipal) -> StaffMember:
        async with system_tx(services.db) as tx:
            role = await Staff(tx).role(principal.user_id)
        check_staff(role, self.permission)
        assert role is not None
        return StaffMember(principal.user_id, role, principal.tenant_id)


def require_staff(permission: StaffPermission) -> Any:
    """The dependency on one of the platform's staff, whatever they are in the tenant that they are signed in to.

    It raises NotAuthenticated or Forbidden.
    """
    return Depends(_StaffWith(permission))


async def verified_chatter(services: GatewayServices, token: str, page: PageOrigin) -> VerifiedChatter:
    """One of the tenant's people as of now, by themselves or through an API key, or a visitor.

    Raises NotAuthenticated without a valid token, and for a visitor's that was given to another page, TenantSuspended.
    """
    if is_api_key(token):
        key = await found_key(services, token)
        by = key.principal
        chatter = Chatter(by.tenant_id, user_id=by.user_id, api_key_id=by.api_key_id)
        verified = VerifiedChatter(chatter, math.inf if key.expires_at is None else key.expires_at, by)
    else:
        verified = services.tokens.verify_chatter(token)
        if verified.principal is not None:
            verified = replace(verified, principal=await present_principal(services, verified.principal))
        else:
            await _require_visitor(services, verified, page)
    structlog.contextvars.bind_contextvars(tenant_id=str(verified.chatter.tenant_id))
    return verified


async def _require_visitor(services: GatewayServices, verified: VerifiedChatter, page: PageOrigin) -> None:
    """Raises NotAuthenticated for a token that was given to another page, and for who was erased; TenantSuspended."""
    if not page.is_where(verified.origin):
        raise NotAuthenticated("This token was given to another page.")
    visitor_id, tenant_id = verified.chatter.visitor_id, verified.chatter.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        if visitor_id is None or not await Visitors(tx).present(tenant_id, visitor_id):
            raise NotAuthenticated("This visitor is not known here any more.")


async def permitted_chatter(
    services: GatewayServices, token: str, permission: Permission, page: PageOrigin
) -> VerifiedChatter:
    """Whoever `verified_chatter` finds, with a permission. Raises NotAuthenticated, Forbidden."""
    verified = await verified_chatter(services, token, page)
    _check(verified, permission)
    return verified


def caller_of(verified: VerifiedChatter) -> Caller:
    """As the database knows whoever opened a socket."""
    chatter, by = verified.chatter, verified.principal
    if by is not None and by.api_key_id is not None:
        return Caller(by.tenant_id, "api_key", by.api_key_id, by.user_id)
    if by is not None and by.sign_in_id is not None:
        return Caller(by.tenant_id, "sign_in", by.sign_in_id, by.user_id)
    if chatter.visitor_id is None:
        raise NotAuthenticated
    return Caller(chatter.tenant_id, "visitor", chatter.visitor_id, None)


def _check(verified: VerifiedChatter, permission: Permission) -> None:
    by = verified.principal
    check(by.role if by else None, permission, by.scopes if by else None)


async def current_chatter(request: Request, services: Services, credentials: Credentials) -> VerifiedChatter:
    """Raises NotAuthenticated."""
    if credentials is None:
        raise NotAuthenticated
    return await verified_chatter(services, credentials.credentials, PageOrigin.of(request.headers, request.method))


CurrentChatter = Annotated[VerifiedChatter, Depends(current_chatter)]


@dataclass(frozen=True)
class _ChatterWith:
    permission: Permission

    async def __call__(self, chatbot_id: UUID, verified: CurrentChatter) -> Chatter:
        _check(verified, self.permission)
        chatter = verified.chatter
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
        case _PersonWith(permission) | _StaffWith(permission):
            return {"x-permission": permission.value}
        case _ChatterWith(permission):
            return {"x-permission": permission.value, "x-visitors": True}
    inner = [found for part in dependant.dependencies if (found := _found_in(part))]
    if inner:
        # Who acts, for the audit log, is asked beside what they may do.
        return next((found for found in inner if found is not _ACCOUNT), _ACCOUNT)
    return _ACCOUNT if dependant.call in (current_principal, enrolling_principal) else None


async def request_id_of(request: Request) -> str:
    found: str = request.state.request_id
    return found


RequestId = Annotated[str, Depends(request_id_of)]
