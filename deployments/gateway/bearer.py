"""Whose token a request carries, for what happens before a route looks at it."""

from starlette.datastructures import Headers
from starlette.types import Scope

from deployments.gateway.tokens import AccessTokens, Bearer
from domain.api_key import parse_api_key
from domain.errors import NotAuthenticated


def token_in(scope: Scope) -> str | None:
    """What the request sends as `Authorization: Bearer`; None without it."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def bearer_of(scope: Scope, tokens: AccessTokens) -> Bearer | None:
    """None without a valid token: the route then says what is wrong with it. Whether the token still counts, and
    whether a key exists, the route asks too."""
    token = token_in(scope)
    if token is None:
        return None
    key = parse_api_key(token)
    if key is not None:
        # By its secret: who knows the public part only does not use up what its owner may do.
        return Bearer(None, f"api_key:{key.prefix}:{key.secret_hash.hex()}")
    try:
        return tokens.verify_bearer(token)
    except NotAuthenticated:
        return None
