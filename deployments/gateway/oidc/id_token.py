"""Checks an ID token, and reads who it speaks of.

Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725 for what a header must not decide.
"""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from configs.identity import IdentityProvider
from deployments.gateway.oidc.refusals import IdentityInvalid
from deployments.gateway.oidc.signing_keys import ALGORITHMS, SigningKeys
from domain.errors import AppError

MAX_BYTES = 16 * 1024
LEEWAY_SECONDS = 30
"""By which the provider's clock may differ."""
MAX_AGE_SECONDS = 600
"""Since it was issued: it answers a log-in that began no earlier."""
_MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider speaks of. (issuer, subject) names them for ever, an e-mail address does not."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool


async def verified_claims(token: object, provider: IdentityProvider, keys: SigningKeys, nonce: str) -> dict[str, Any]:
    """The claims of an ID token for us that answers the request with this nonce.

    Raises IdentityInvalid for any other, never says why; Unavailable when the provider does not give its keys.
    """
    if not isinstance(token, str) or len(token) > MAX_BYTES:
        raise IdentityInvalid
    try:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        # Of the header only these two count: keys that it brings along, or says where to fetch, are not looked at.
        if algorithm not in ALGORITHMS or not isinstance(key_id, str) or "crit" in header:
            raise IdentityInvalid
        if str(header.get("typ", "JWT")).upper() != "JWT":
            raise IdentityInvalid
        claims: dict[str, Any] = jwt.decode(
            token,
            await keys.find(key_id, algorithm),
            algorithms=[algorithm],
            audience=provider.client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"], "enforce_minimum_key_length": True},
        )
        _check(claims, provider, nonce)
    except AppError:
        raise
    except Exception as error:
        # The decoder raises many kinds on hostile input; whatever does not decode is no ID token.
        raise IdentityInvalid from error
    return claims


def identity_of(issuer: str, claims: Mapping[str, Any]) -> Identity:
    """From checked claims."""
    email = claims.get("email")
    return Identity(
        issuer,
        str(claims["sub"]),
        email if isinstance(email, str) else None,
        # The word "true" is not a promise.
        claims.get("email_verified") is True,
    )


def _check(claims: Mapping[str, Any], provider: IdentityProvider, nonce: str) -> None:
    """Raises IdentityInvalid for what the decoder leaves to us."""
    audience, party = claims["aud"], claims.get("azp")
    several = isinstance(audience, list) and len(audience) > 1
    if (several or party is not None) and party != provider.client_id:
        raise IdentityInvalid
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise IdentityInvalid
    if time.time() - float(claims["iat"]) > MAX_AGE_SECONDS + LEEWAY_SECONDS:
        raise IdentityInvalid
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise IdentityInvalid
