"""Whose token a request carries, for what happens before a route looks at it."""

from starlette.datastructures import Headers
from starlette.types import Scope

from deployments.gateway.tokens import AccessTokens, Bearer
from domain.errors import NotAuthenticated


def bearer_of(scope: Scope, tokens: AccessTokens) -> Bearer | None:
    """None without a valid token: the route then says what is wrong with it."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        return None
    try:
        return tokens.verify_bearer(token.strip())
    except NotAuthenticated:
        return None
