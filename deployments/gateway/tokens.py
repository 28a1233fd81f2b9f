"""Access tokens (JWT, HS256, short-lived) and opaque refresh tokens; keys are derived per purpose."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from jose import jwt

from configs.settings import Settings
from domain.errors import NotAuthenticated
from domain.ids import TenantId, UserId
from domain.tenancy import Principal, Role

MAX_TOKEN_BYTES = 8 * 1024
_ALGORITHM = "HS256"
_REQUIRED = {f"require_{claim}": True for claim in ("exp", "iat", "iss", "aud", "sub")}


def derive_key(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose, so that no key serves two. Source: HKDF-Expand, RFC 5869, first block."""
    return hmac.digest(secret.encode(), f"loquent:{purpose}".encode() + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class Verified:
    principal: Principal
    expires_at: float
    """Unix seconds."""


class AccessTokens:
    """Raises ValueError when the settings carry no secret: an empty key would sign for anyone."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.secret_key.get_secret_value()
        if not secret:
            raise ValueError("Settings.secret_key must be set before tokens can be signed.")
        # HMAC takes any bytes; python-jose wants them as text without PEM markers.
        self._key = derive_key(secret, "access-token").hex()
        self._key_id = hashlib.sha256(self._key.encode()).hexdigest()[:16]
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self.lifetime_seconds = settings.access_token_minutes * 60

    def sign(self, principal: Principal) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(principal.user_id),
            "tenant": str(principal.tenant_id),
            "role": principal.role.value,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "jti": str(uuid4()),
        }
        token: str = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._key_id})
        return token

    def verify(self, token: str) -> Verified:
        """Raises NotAuthenticated for anything but a live access token of ours; never says why."""
        if len(token) > MAX_TOKEN_BYTES:
            raise NotAuthenticated
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != _ALGORITHM or header.get("kid") != self._key_id:
                raise NotAuthenticated
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options=_REQUIRED,
            )
            principal = Principal(
                tenant_id=TenantId(UUID(claims["tenant"])),
                user_id=UserId(UUID(claims["sub"])),
                role=Role(claims["role"]),
            )
            return Verified(principal, float(claims["exp"]))
        except Exception as error:
            # The decoder raises many kinds on hostile input; whatever does not decode is not a token.
            raise NotAuthenticated("The access token is not valid or has expired; sign in again.") from error


def new_refresh_token() -> tuple[str, bytes]:
    """A random token for the client, and the hash to store."""
    token = secrets.token_urlsafe(32)
    return token, hash_refresh_token(token)


def hash_refresh_token(token: str) -> bytes:
    """A plain hash is enough: the token has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
