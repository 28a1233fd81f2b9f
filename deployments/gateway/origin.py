"""Who acts and from where, as the audit log records it: built here for every route."""

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from deployments.gateway.client_address import client_of
from deployments.gateway.principal import Credentials, CurrentPrincipal, RequestId
from deployments.gateway.services import Services
from domain.audit import ActorKind, Origin
from domain.errors import NotAuthenticated
from domain.ids import UserId
from domain.tenancy import Chatter


async def client_address(request: Request) -> str:
    return client_of(request.scope).address


Client = Annotated[str, Depends(client_address)]


async def address_of(client: Client) -> str | None:
    """The caller's address; None for what is no address, for a proxy may pass on anything."""
    try:
        return str(ip_address(client))
    except ValueError:
        return None


Address = Annotated[str | None, Depends(address_of)]


async def anonymous_origin(address: Address, request_id: RequestId) -> Origin:
    """Somebody who did not prove who they are; `of_user` names who did."""
    return Origin(ActorKind.ANONYMOUS, None, address, request_id)


AnonymousOrigin = Annotated[Origin, Depends(anonymous_origin)]


async def principal_origin(principal: CurrentPrincipal, origin: AnonymousOrigin) -> Origin:
    return of_user(origin, principal.user_id)


async def chatter_origin(services: Services, credentials: Credentials, origin: AnonymousOrigin) -> Origin:
    """Of whom the token names; what they may do, the route asks. Raises NotAuthenticated."""
    if credentials is None:
        raise NotAuthenticated
    return _of_chatter(origin, services.tokens.verify_chatter(credentials.credentials).chatter)


CurrentOrigin = Annotated[Origin, Depends(principal_origin)]
ChatterOrigin = Annotated[Origin, Depends(chatter_origin)]


def of_user(origin: Origin, user_id: UserId) -> Origin:
    """The same request, of somebody who proved who they are."""
    return Origin(ActorKind.USER, str(user_id), origin.ip, origin.request_id)


def of_staff(origin: Origin, user_id: UserId) -> Origin:
    """The same request, of somebody of the platform itself."""
    return Origin(ActorKind.STAFF, str(user_id), origin.ip, origin.request_id)


def _of_chatter(origin: Origin, chatter: Chatter) -> Origin:
    if chatter.visitor_id is not None:
        return Origin(ActorKind.VISITOR, str(chatter.visitor_id), origin.ip, origin.request_id)
    return of_user(origin, chatter.user_id) if chatter.user_id is not None else origin
