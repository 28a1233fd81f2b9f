"""Access tokens: what signs must verify, and nothing else may."""

import time
from typing import Any
from uuid import uuid4

import pytest
from jose import jwt
from pydantic import SecretStr

from configs.settings import Settings
from deployments.gateway.tokens import AccessTokens, derive_key, hash_refresh_token, new_refresh_token
from domain.errors import NotAuthenticated
from domain.ids import TenantId, UserId
from domain.tenancy import Principal, Role

PRINCIPAL = Principal(TenantId(uuid4()), UserId(uuid4()), Role.ADMIN)


def tokens_of(secret: str = "a secret", **changes: Any) -> AccessTokens:
    return AccessTokens(Settings(secret_key=SecretStr(secret), **changes))


def forge(tokens: AccessTokens, *, drop: str = "", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with the right key, with something wrong in it."""
    claims = {**jwt.get_unverified_claims(tokens.sign(PRINCIPAL)), **changes}
    claims.pop(drop, None)
    return str(jwt.encode(claims, tokens._key, algorithm="HS256", headers={"kid": tokens._key_id, **(headers or {})}))


def test_a_signed_token_brings_back_its_principal() -> None:
    tokens = tokens_of(access_token_minutes=7)
    verified = tokens.verify(tokens.sign(PRINCIPAL))
    assert verified.principal == PRINCIPAL
    assert 0 <= time.time() + 420 - verified.expires_at <= 2


def test_what_forge_makes_is_good_when_nothing_is_wrong() -> None:
    tokens = tokens_of()
    assert tokens.verify(forge(tokens)).principal == PRINCIPAL


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "tenant", "role"])
def test_every_claim_is_required(claim: str) -> None:
    tokens = tokens_of()
    with pytest.raises(NotAuthenticated):
        tokens.verify(forge(tokens, drop=claim))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": "soon"},
        {"iss": "someone"},
        {"aud": "another-api"},
        {"aud": ["loquent-api", 7]},
        {"sub": "no-uuid"},
        {"tenant": None},
        {"tenant": 7},
        {"role": "god"},
        {"nbf": 9_999_999_999},
        {"headers": {"kid": "other"}},
        {"headers": {"alg": "none"}},
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any]) -> None:
    tokens = tokens_of()
    with pytest.raises(NotAuthenticated):
        tokens.verify(forge(tokens, **changes))


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b", "a.b.c", "é.é.é", "\ud800", "e30.e30.", "x" * 9_000, "a" * 8_000]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens_of().verify(text)


def test_other_keys_and_algorithms_are_refused() -> None:
    tokens = tokens_of()
    claims = jwt.get_unverified_claims(tokens.sign(PRINCIPAL))
    headers = {"kid": tokens._key_id}
    for key, algorithm in ((tokens._key, "HS512"), ("another key", "HS256")):
        with pytest.raises(NotAuthenticated):
            tokens.verify(jwt.encode(claims, key, algorithm=algorithm, headers=headers))
    with pytest.raises(NotAuthenticated):
        tokens.verify(tokens_of("another secret").sign(PRINCIPAL))


def test_an_empty_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="secret_key"):
        tokens_of("")


def test_keys_differ_by_purpose() -> None:
    assert derive_key("s", "access-token") != derive_key("s", "streams")
    assert len(derive_key("s", "x")) == 32


def test_refresh_tokens_are_random_and_found_by_their_hash() -> None:
    token, stored = new_refresh_token()
    assert hash_refresh_token(token) == stored
    assert new_refresh_token()[0] != token
    assert len(token) >= 43
