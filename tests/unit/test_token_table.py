"""Hostile access tokens, one line each: none of them gets past any door."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jose import jwe, jwt
from pydantic import SecretStr

from configs.settings import Settings
from deployments.gateway.tokens import CLOCK_SECONDS, AccessTokens
from domain.errors import NotAuthenticated
from domain.ids import SignInId, TenantId, UserId
from domain.tenancy import Principal, Role

TOKENS = AccessTokens(Settings(secret_key=SecretStr("a secret")))
PRINCIPAL = Principal(TenantId(uuid4()), UserId(uuid4()), Role.ADMIN, SignInId(uuid4()))
GOOD = TOKENS.sign(PRINCIPAL)
HEADER = jwt.get_unverified_header(GOOD)
CLAIMS = jwt.get_unverified_claims(GOOD)
NOW = int(time.time())
PUBLIC_PEM = (
    rsa.generate_private_key(65_537, 2_048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)
OTHER_AUDIENCE = f"{CLAIMS['aud']}-visitor"


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(header: Any, claims: Any, key: bytes = TOKENS._key.encode(), digest: Any = hashlib.sha256) -> str:
    """A token as any library would make it, whatever stands in it; with our own key unless another is given."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(key, signed.encode(), digest).digest())}"


def headed(**changes: Any) -> str:
    return made({**HEADER, **changes}, CLAIMS)


def claiming(**changes: Any) -> str:
    return made(HEADER, {**CLAIMS, **changes})


def without(claim: str) -> str:
    return made(HEADER, {name: value for name, value in CLAIMS.items() if name != claim})


def unsigned(algorithm: str) -> str:
    return f"{part({**HEADER, 'alg': algorithm})}.{part(CLAIMS)}."


def with_tail(tail: str) -> str:
    return GOOD.rpartition(".")[0] + tail


TABLE: dict[str, Callable[[], Any]] = {
    # Nobody's signature
    "no signature": lambda: with_tail("."),
    "another signature": lambda: with_tail("." + part(b"\0" * 32)),
    "a shorter signature": lambda: GOOD[:-4],
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "alg NONE": lambda: unsigned("NONE"),
    "alg nOnE with a signature": lambda: headed(alg="nOnE"),
    "claims changed afterwards": lambda: ".".join((GOOD.split(".")[0], part({**CLAIMS, "x": 1}), GOOD.split(".")[2])),
    # Another key or algorithm
    "HS256 with a public key in PEM": lambda: made(HEADER, CLAIMS, PUBLIC_PEM),
    "HS256 with a public key in PEM, stripped": lambda: made(HEADER, CLAIMS, PUBLIC_PEM.strip()),
    "HS256 with an empty key": lambda: made(HEADER, CLAIMS, b""),
    "HS256 with the key id as key": lambda: made(HEADER, CLAIMS, str(HEADER["kid"]).encode()),
    "another installation's": lambda: AccessTokens(Settings(secret_key=SecretStr("another"))).sign(PRINCIPAL),
    "HS512 with our key": lambda: made({**HEADER, "alg": "HS512"}, CLAIMS, digest=hashlib.sha512),
    "HS384 with our key": lambda: made({**HEADER, "alg": "HS384"}, CLAIMS, digest=hashlib.sha384),
    "RS256 by name": lambda: headed(alg="RS256"),
    "ES256 by name": lambda: headed(alg="ES256"),
    "alg of another type": lambda: headed(alg=["HS256"]),
    "alg missing": lambda: made({"kid": HEADER["kid"], "typ": "JWT"}, CLAIMS),
    # Headers that lead elsewhere
    "wrong kid": lambda: headed(kid="other"),
    "kid missing": lambda: made({"alg": "HS256", "typ": "JWT"}, CLAIMS),
    "kid as a path": lambda: headed(kid="../../dev/null"),
    "kid as SQL": lambda: headed(kid="x' union select 'key"),
    "kid of another type": lambda: headed(kid=7),
    "jku": lambda: headed(jku="https://elsewhere.example/keys"),
    "jwk": lambda: headed(jwk={"kty": "oct", "k": part(b"theirs")}),
    "x5u": lambda: headed(x5u="https://elsewhere.example/cert"),
    "x5c": lambda: headed(x5c=["MII"]),
    "crit": lambda: headed(crit=["exp"]),
    "b64 false": lambda: headed(b64=False),
    "cty JWT": lambda: headed(cty="JWT"),
    "typ of another kind": lambda: headed(typ="at+jwt"),
    "header a list": lambda: made(["HS256"], CLAIMS),
    # Encrypted
    "a JWE": lambda: jwe.encrypt(json.dumps(CLAIMS), "k" * 32, algorithm="dir", encryption="A256GCM").decode(),
    "five parts": lambda: GOOD + ".a.b",
    # Times
    "expired": lambda: claiming(exp=NOW - 1),
    "expired long ago": lambda: claiming(exp=1),
    "exp text": lambda: claiming(exp=str(NOW + 600)),
    "exp a word": lambda: claiming(exp="soon"),
    "exp a fraction": lambda: claiming(exp=NOW + 600.5),
    "exp true": lambda: claiming(exp=True),
    "exp null": lambda: claiming(exp=None),
    "exp infinite": lambda: made(HEADER, json.dumps({**CLAIMS, "exp": float("inf")}).encode()),
    "nbf to come": lambda: claiming(nbf=NOW + 600),
    "nbf a word": lambda: claiming(nbf="now"),
    "iat to come": lambda: claiming(iat=int(time.time()) + CLOCK_SECONDS + 60, exp=NOW + 86_400),
    "iat text": lambda: claiming(iat=str(NOW)),
    "iat null": lambda: claiming(iat=None),
    # Whose it is, and for whom
    "wrong iss": lambda: claiming(iss="someone"),
    "iss a list": lambda: claiming(iss=["loquent"]),
    "wrong aud": lambda: claiming(aud="another-api"),
    "aud a list": lambda: claiming(aud=[CLAIMS["aud"]]),
    "aud of a visitor": lambda: claiming(aud=OTHER_AUDIENCE),
    "aud of both": lambda: claiming(aud=[CLAIMS["aud"], OTHER_AUDIENCE]),
    "sub no id": lambda: claiming(sub="no-uuid"),
    "sub a number": lambda: claiming(sub=7),
    "tenant null": lambda: claiming(tenant=None),
    "tenant a number": lambda: claiming(tenant=7),
    "tenant a list": lambda: claiming(tenant=[CLAIMS["tenant"]]),
    "role unknown": lambda: claiming(role="god"),
    "role a list": lambda: claiming(role=["owner"]),
    "sid null": lambda: claiming(sid=None),
    "sid no id": lambda: claiming(sid="current"),
    "sid a map": lambda: claiming(sid={"id": CLAIMS["sid"]}),
    **{f"{claim} missing": (lambda claim=claim: without(claim)) for claim in CLAIMS if claim != "jti"},  # type: ignore[misc]
    # No token at all
    "claims a list": lambda: made(HEADER, [CLAIMS]),
    "claims text": lambda: made(HEADER, "claims"),
    "claims not JSON": lambda: made(HEADER, b"{"),
    "empty": lambda: "",
    "a dot": lambda: ".",
    "two dots": lambda: "..",
    "letters": lambda: "a.b.c",
    "accents": lambda: "é.é.é",
    "half a character": lambda: "\ud800",
    "NUL": lambda: GOOD + "\0",
    "a space before": lambda: " " + GOOD,
    "a line after": lambda: GOOD + "\n",
    "nothing in it": lambda: "e30.e30.",
    "oversize": lambda: claiming(padding="x" * 9_000),
    "oversize nonsense": lambda: "x" * 100_000,
    "an API key's form": lambda: "lq_live_abcdefgh_" + "x" * 49,
}


def test_what_the_table_makes_is_good_when_nothing_is_wrong() -> None:
    assert TOKENS.verify(GOOD).principal == PRINCIPAL
    assert TOKENS.verify(made(HEADER, CLAIMS)).principal == PRINCIPAL
    assert TOKENS.verify(claiming(nbf=NOW - 1, iat=NOW + CLOCK_SECONDS - 5)).principal == PRINCIPAL


@pytest.mark.parametrize("name", TABLE)
def test_a_hostile_token_is_refused_everywhere(name: str) -> None:
    token = TABLE[name]()
    for verify in (TOKENS.verify, TOKENS.verify_chatter, TOKENS.verify_bearer, TOKENS.verify_returning):
        with pytest.raises(NotAuthenticated) as refused:
            verify(token)
        assert str(refused.value) == "The access token is not valid or has expired; sign in again."
