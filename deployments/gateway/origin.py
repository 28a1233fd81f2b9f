"""Who acts and from where, as the audit log records it: built here for every route."""

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from deployments.gateway.client_address import client_of
from deployments.gateway.principal import CurrentCaller, CurrentChatter, RequestId
from domain.audit import ActorKind, Origin
from domain.ids import ApiKeyId, UserId


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


async def principal_origin(caller: CurrentCaller, origin: AnonymousOrigin) -> Origin:
    return of_key(origin, caller.api_key_id) if caller.api_key_id else of_user(origin, caller.user_id)


async def chatter_origin(verified: CurrentChatter, origin: AnonymousOrigin) -> Origin:
    """Of whom the token names; what they may do, the route asks. Raises NotAuthenticated."""
    chatter = verified.chatter
    if chatter.visitor_id is not None:
        return Origin(ActorKind.VISITOR, str(chatter.visitor_id), origin.ip, origin.request_id)
    if chatter.api_key_id is not None:
        return of_key(origin, chatter.api_key_id)
    return of_user(origin, chatter.user_id) if chatter.user_id is not None else origin


CurrentOrigin = Annotated[Origin, Depends(principal_origin)]
ChatterOrigin = Annotated[Origin, Depends(chatter_origin)]


def of_user(origin: Origin, user_id: UserId) -> Origin:
    """The same request, of somebody who proved who they are."""
    return Origin(ActorKind.USER, str(user_id), origin.ip, origin.request_id)


def of_key(origin: Origin, api_key_id: ApiKeyId) -> Origin:
    """The same request, of an API key; the log tells who made the key."""
    return Origin(ActorKind.API_KEY, str(api_key_id), origin.ip, origin.request_id)


def of_staff(origin: Origin, user_id: UserId) -> Origin:
    """The same request, of somebody of the platform itself."""
    return Origin(ActorKind.STAFF, str(user_id), origin.ip, origin.request_id)
