"""Access tokens of people and of visitors (JWT, HS256, short-lived) and opaque refresh tokens; a key per purpose."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt

from configs.settings import Settings
from domain.errors import NotAuthenticated
from domain.ids import ChatbotId, SignInId, TenantId, UserId, VisitorId
from domain.keys import derive_key
from domain.one_time import hash_of_secret, new_secret
from domain.tenancy import Chatter, Principal, Role, SignInMethod

MAX_TOKEN_BYTES = 8 * 1024
CHALLENGE_SECONDS = 5 * 60
VISITOR_GRACE_SECONDS = 30 * 86_400
"""How long after its end a visitor's token still tells who comes back."""
CLOCK_SECONDS = 60
"""How far ahead the clock of another replica may be that has signed."""
_ALGORITHM = "HS256"
_REQUIRED = ["exp", "iat", "iss", "sub"]


@dataclass(frozen=True, slots=True)
class Verified:
    principal: Principal
    expires_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whoever a token speaks for, a person, a visitor or a key."""

    tenant_id: TenantId | None
    """None for a key: whose it is, only the database knows."""
    subject: str
    """Differs between any two people, visitors or keys."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Who has shown the first factor and not yet the second."""

    id: UUID
    tenant_id: TenantId
    user_id: UserId
    method: SignInMethod


@dataclass(frozen=True, slots=True)
class VerifiedChatter:
    chatter: Chatter
    expires_at: float
    """Unix seconds; infinite for a key that lives until it is revoked."""
    principal: Principal | None = None
    """The person; None for a visitor."""
    origin: str | None = None
    """The page that a visitor's token was given to; None for a program."""


class AccessTokens:
    """Tokens of people and of visitors, told apart by their audience.

    Raises ValueError when the settings carry no secret: an empty key would sign for anyone.
    """

    def __init__(self, settings: Settings) -> None:
        secret = settings.secret_key.get_secret_value()
        if not secret:
            raise ValueError("Settings.secret_key must be set before tokens can be signed.")
        self._key = derive_key(secret, "access-token").hex()
        self._key_id = hashlib.sha256(self._key.encode()).hexdigest()[:16]
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._visitor_audience = f"{settings.token_audience}-visitor"
        self._challenge_audience = f"{settings.token_audience}-second-factor"
        self.lifetime_seconds = settings.access_token_minutes * 60
        self.visitor_seconds = settings.visitor_token_minutes * 60

    def sign(self, principal: Principal) -> str:
        """A token of the person's sign-in. Raises ValueError without one: nobody could end such a token."""
        if principal.sign_in_id is None:
            raise ValueError("An access token belongs to a sign-in.")
        return self._sign(
            self._audience,
            principal.user_id,
            self.lifetime_seconds,
            tenant=str(principal.tenant_id),
            role=principal.role.value,
            sid=str(principal.sign_in_id),
        )

    def sign_visitor(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, visitor_id: VisitorId, origin: str | None = None
    ) -> str:
        """A token that opens the visitor's own sessions of one chatbot, for `visitor_seconds`, from pages of `origin`;
        None for a program."""
        return self._sign(
            self._visitor_audience,
            visitor_id,
            self.visitor_seconds,
            tenant=str(tenant_id),
            chatbot=str(chatbot_id),
            origin=origin,
        )

    def sign_challenge(self, tenant_id: TenantId, user_id: UserId, method: SignInMethod) -> str:
        """A token that opens nothing: it only asks for the second factor, for CHALLENGE_SECONDS."""
        return self._sign(
            self._challenge_audience, user_id, CHALLENGE_SECONDS, tenant=str(tenant_id), method=method.value
        )

    def verify_challenge(self, token: str) -> Challenge:
        """Raises NotAuthenticated as `verify` does."""
        with _refusing():
            claims = self._decode(token)
            if claims["aud"] != self._challenge_audience:
                raise NotAuthenticated
            return Challenge(
                id=UUID(claims["jti"]),
                tenant_id=TenantId(UUID(claims["tenant"])),
                user_id=UserId(UUID(claims["sub"])),
                method=SignInMethod(claims["method"]),
            )

    def verify(self, token: str) -> Verified:
        """Raises NotAuthenticated for anything but a live access token of ours; never says why."""
        with _refusing():
            claims = self._decode(token)
            return Verified(self._principal(claims), float(claims["exp"]))

    def verify_chatter(self, token: str) -> VerifiedChatter:
        """Accepts a person's and a visitor's token. Raises NotAuthenticated as `verify` does."""
        with _refusing():
            claims = self._decode(token)
            if claims["aud"] == self._visitor_audience:
                return VerifiedChatter(self._visitor(claims), float(claims["exp"]), origin=_origin(claims))
            principal = self._principal(claims)
            return VerifiedChatter(
                Chatter(principal.tenant_id, user_id=principal.user_id), float(claims["exp"]), principal
            )

    def verify_bearer(self, token: str) -> Bearer:
        """Accepts a person's and a visitor's token. Raises NotAuthenticated as `verify` does."""
        with _refusing():
            claims = self._decode(token)
            if claims["aud"] == self._visitor_audience:
                visitor = self._visitor(claims)
                return Bearer(visitor.tenant_id, f"visitor:{visitor.visitor_id}")
            principal = self._principal(claims)
            return Bearer(principal.tenant_id, f"user:{principal.user_id}")

    def verify_returning(self, token: str) -> VerifiedChatter:
        """The visitor of a token that has expired at most VISITOR_GRACE_SECONDS ago. Raises NotAuthenticated."""
        with _refusing():
            claims = self._decode(token, verify_exp=False)
            if float(claims["exp"]) + VISITOR_GRACE_SECONDS < time.time():
                raise NotAuthenticated
            return VerifiedChatter(self._visitor(claims), float(claims["exp"]), origin=_origin(claims))

    def _sign(self, audience: str, subject: UUID, seconds: int, **more: str | None) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": str(subject),
            **more,
            "iat": now,
            "exp": now + seconds,
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._key_id})

    def _decode(self, token: str, *, verify_exp: bool = True) -> dict[str, Any]:
        """The claims of a token that we signed; the caller checks the audience."""
        if len(token) > MAX_TOKEN_BYTES:
            raise NotAuthenticated
        # As we write it, and nothing more: no other key, no address of one, nothing that we do not understand.
        if jwt.get_unverified_header(token) != {"alg": _ALGORITHM, "kid": self._key_id, "typ": "JWT"}:
            raise NotAuthenticated
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key,
            algorithms=[_ALGORITHM],
            issuer=self._issuer,
            # The audience tells the kinds of token apart; the age is checked below, with the patience of CLOCK_SECONDS.
            options={"require": _REQUIRED, "verify_aud": False, "verify_iat": False, "verify_exp": verify_exp},
        )
        if type(claims["iat"]) is not int or type(claims["exp"]) is not int:
            raise NotAuthenticated
        if claims["iat"] > time.time() + CLOCK_SECONDS:
            raise NotAuthenticated
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal:
        if claims["aud"] != self._audience:
            raise NotAuthenticated
        return Principal(
            tenant_id=TenantId(UUID(claims["tenant"])),
            user_id=UserId(UUID(claims["sub"])),
            role=Role(claims["role"]),
            sign_in_id=SignInId(UUID(claims["sid"])),
        )

    def _visitor(self, claims: dict[str, Any]) -> Chatter:
        if claims["aud"] != self._visitor_audience:
            raise NotAuthenticated
        return Chatter(
            tenant_id=TenantId(UUID(claims["tenant"])),
            visitor_id=VisitorId(UUID(claims["sub"])),
            chatbot_id=ChatbotId(UUID(claims["chatbot"])),
        )


def _origin(claims: dict[str, Any]) -> str | None:
    """Raises KeyError and TypeError."""
    origin = claims["origin"]
    if origin is not None and not isinstance(origin, str):
        raise TypeError("not an origin")
    return origin


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The decoder raises many kinds on hostile input; whatever does not decode is not a token.
        raise NotAuthenticated("The access token is not valid or has expired; sign in again.") from error


def new_refresh_token() -> tuple[str, bytes]:
    """A random token for the client, and the hash to store."""
    return new_secret()


def hash_refresh_token(token: str) -> bytes:
    return hash_of_secret(token)
