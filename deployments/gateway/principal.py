"""The dependencies that turn a bearer token into who is asking; a TenantId comes from a token."""

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deployments.gateway.services import Services
from domain.errors import Forbidden, NotAuthenticated, NotFound
from domain.tenancy import Chatter, Principal, Role

_bearer = HTTPBearer(auto_error=False, description="The access token from log-in, or a visitor's token to chat.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def current_principal(services: Services, credentials: Credentials) -> Principal:
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


async def current_chatter(services: Services, credentials: Credentials) -> Chatter:
    """One of the tenant's people, or a visitor. Raises NotAuthenticated without a valid token."""
    if credentials is None:
        raise NotAuthenticated
    chatter = services.tokens.verify_chatter(credentials.credentials).chatter
    structlog.contextvars.bind_contextvars(tenant_id=str(chatter.tenant_id))
    return chatter


CurrentChatter = Annotated[Chatter, Depends(current_chatter)]


async def chatter_of_bot(chatbot_id: UUID, chatter: CurrentChatter) -> Chatter:
    """Who may chat with the bot of the path. Raises NotFound for a visitor of another one."""
    if chatter.chatbot_id is not None and chatter.chatbot_id != chatbot_id:
        raise NotFound("There is no such chatbot.")
    return chatter


ChatterOfBot = Annotated[Chatter, Depends(chatter_of_bot)]


def request_id_of(request: Request) -> str:
    found: str = request.state.request_id
    return found


RequestId = Annotated[str, Depends(request_id_of)]
