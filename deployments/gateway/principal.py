"""The dependency that turns a bearer token into a Principal: the only place where a TenantId is minted."""

from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deployments.gateway.services import Services
from domain.errors import Forbidden, NotAuthenticated
from domain.tenancy import Principal, Role

_bearer = HTTPBearer(auto_error=False, description="The access token from log-in.")


async def current_principal(
    services: Services, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Raises NotAuthenticated without a valid access token."""
    if credentials is None:
        raise NotAuthenticated
    principal = services.tokens.verify(credentials.credentials).principal
    structlog.contextvars.bind_contextvars(tenant_id=str(principal.tenant_id))
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


async def current_owner(principal: CurrentPrincipal) -> Principal:
    """Raises Forbidden for people who may not spend the tenant's money."""
    if principal.role not in (Role.OWNER, Role.ADMIN):
        raise Forbidden("Only an owner or administrator may do this.")
    return principal


CurrentOwner = Annotated[Principal, Depends(current_owner)]


def request_id_of(request: Request) -> str:
    found: str = request.state.request_id
    return found


RequestId = Annotated[str, Depends(request_id_of)]
