"""Access tokens: what signs must verify, and nothing else may."""

import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from jose import jwt
from pydantic import SecretStr

from configs.settings import Settings
from deployments.gateway.tokens import (
    VISITOR_GRACE_SECONDS,
    AccessTokens,
    hash_refresh_token,
    new_refresh_token,
)
from domain.errors import NotAuthenticated
from domain.ids import ChatbotId, SignInId, TenantId, UserId, VisitorId
from domain.keys import derive_key
from domain.tenancy import Chatter, Principal, Role

PRINCIPAL = Principal(TenantId(uuid4()), UserId(uuid4()), Role.ADMIN, SignInId(uuid4()))
VISITOR = VisitorId(uuid4())
CHATBOT = ChatbotId(uuid4())
GUEST = Chatter(PRINCIPAL.tenant_id, VISITOR, CHATBOT)


def tokens_of(secret: str = "a secret", **changes: Any) -> AccessTokens:
    return AccessTokens(Settings(secret_key=SecretStr(secret), **changes))


def visitor_token(tokens: AccessTokens) -> str:
    return tokens.sign_visitor(PRINCIPAL.tenant_id, CHATBOT, VISITOR)


def forge(
    tokens: AccessTokens, *, drop: str = "", headers: dict[str, Any] | None = None, of: str = "", **changes: Any
) -> str:
    """A token signed with the right key, with something wrong in it."""
    claims = {**jwt.get_unverified_claims(of or tokens.sign(PRINCIPAL)), **changes}
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


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "tenant", "role", "sid"])
def test_every_claim_is_required(claim: str) -> None:
    tokens = tokens_of()
    with pytest.raises(NotAuthenticated):
        tokens.verify(forge(tokens, drop=claim))


def test_a_chatter_is_one_of_the_people_or_a_visitor() -> None:
    tokens = tokens_of()
    assert tokens.verify_chatter(tokens.sign(PRINCIPAL)).chatter == Chatter(
        PRINCIPAL.tenant_id, user_id=PRINCIPAL.user_id
    )
    verified = tokens.verify_chatter(visitor_token(tokens))
    assert verified.chatter == GUEST
    assert 0 <= time.time() + 3_600 - verified.expires_at <= 2


def test_a_visitor_is_none_of_the_people() -> None:
    tokens = tokens_of()
    with pytest.raises(NotAuthenticated):
        tokens.verify(visitor_token(tokens))
    with pytest.raises(NotAuthenticated):
        tokens.verify(forge(tokens, of=visitor_token(tokens), role="owner"))
    with pytest.raises(NotAuthenticated):
        tokens.verify_returning(tokens.sign(PRINCIPAL))


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "tenant", "chatbot", "origin"])
def test_every_claim_of_a_visitor_is_required(claim: str) -> None:
    tokens = tokens_of()
    forged = forge(tokens, of=visitor_token(tokens), drop=claim)
    for verify in (tokens.verify_chatter, tokens.verify_returning):
        with pytest.raises(NotAuthenticated):
            verify(forged)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": "another-api"},
        {"aud": ["loquent-api-visitor"]},
        {"aud": ["loquent-api-visitor", "loquent-api"]},
        {"chatbot": None},
        {"sub": "no-uuid"},
        {"headers": {"kid": "other"}},
    ],
)
def test_wrong_claims_of_a_visitor_are_refused(changes: dict[str, Any]) -> None:
    tokens = tokens_of()
    forged = forge(tokens, of=visitor_token(tokens), **changes)
    for verify in (tokens.verify_chatter, tokens.verify_returning):
        with pytest.raises(NotAuthenticated):
            verify(forged)


def test_a_visitor_comes_back_for_thirty_days() -> None:
    tokens, now = tokens_of(), int(time.time())
    within = forge(tokens, of=visitor_token(tokens), exp=now - VISITOR_GRACE_SECONDS + 60)
    assert tokens.verify_returning(within).chatter == GUEST
    assert tokens.verify_returning(visitor_token(tokens)).chatter == GUEST
    with pytest.raises(NotAuthenticated):
        tokens.verify_chatter(within)
    for exp in (now - VISITOR_GRACE_SECONDS - 60, "soon", None):
        with pytest.raises(NotAuthenticated):
            tokens.verify_returning(forge(tokens, of=visitor_token(tokens), exp=exp))
    with pytest.raises(NotAuthenticated):
        tokens.verify_returning(visitor_token(tokens_of("another secret")))


def test_a_token_without_a_sign_in_is_never_signed() -> None:
    with pytest.raises(ValueError, match="sign-in"):
        tokens_of().sign(replace(PRINCIPAL, sign_in_id=None))


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
