"""ID tokens: the one that is right, and many that are not; keys that are fetched when they should be."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK
from jwt.algorithms import RSAAlgorithm

from configs.identity import IdentityProvider
from deployments.gateway.oidc.id_token import MAX_AGE_SECONDS, MAX_BYTES, Identity, identity_of, verified_claims
from deployments.gateway.oidc.refusals import IdentityInvalid
from deployments.gateway.oidc.signing_keys import KEEP_SECONDS, PAUSE_SECONDS, SigningKeys
from domain.errors import Unavailable
from tests.fixtures.identity_provider import Jwk, new_key, public

ISSUER = "https://acme.example"
NONCE = "the nonce"
TABLE = IdentityProvider(name="acme", label="Acme", issuer=ISSUER, client_id="us")
KEYS = {algorithm: new_key(algorithm, algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
STRANGER = new_key("RS256", "RS256")
"""Under an id of the provider's."""
_WEAK = RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024), as_dict=True)
WEAK: Jwk = {**{k: v for k, v in _WEAK.items() if k != "key_ops"}, "kid": "weak", "use": "sig", "alg": "RS256"}
FOR_ENCRYPTION = {**new_key("RS256", "enc"), "use": "enc"}
SET = {"keys": [*(public(key) for key in (*KEYS.values(), WEAK, FOR_ENCRYPTION)), {"kty": "other", "kid": "x"}, 7]}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "sub": "ada", "aud": "us", "nonce": NONCE, "iat": now, "exp": now + 300}
    return {name: value for name, value in {**good, **more}.items() if value is not ...}


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(key: Jwk, header: dict[str, Any] | None = None, **more: Any) -> str:
    """By hand: a library would not write most of these headers."""
    head = {"alg": key["alg"], "kid": key["kid"], "typ": "JWT", **(header or {})}
    text = f"{encoded({k: v for k, v in head.items() if v is not ...})}.{encoded(claims(**more))}"
    found = PyJWK.from_dict(key)
    return f"{text}.{encoded(found.Algorithm.sign(text.encode(), found.key))}"


def macked(secret: bytes) -> str:
    text = f"{encoded({'alg': 'HS256', 'kid': 'RS256', 'typ': 'JWT'})}.{encoded(claims())}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


class Source:
    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        self.asked = 0
        self.away = False
        self.now = 1_000.0

    async def fetch(self) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise Unavailable
        return self.found

    def keys(self) -> SigningKeys:
        return SigningKeys(self.fetch, lambda: self.now)


async def read(token: object, nonce: str = NONCE) -> dict[str, Any]:
    return await verified_claims(token, TABLE, Source(SET).keys(), nonce)


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_right_token_is_read(algorithm: str) -> None:
    found = await read(signed(KEYS[algorithm], email="ada@acme.example", email_verified=True))
    assert identity_of(ISSUER, found) == Identity(ISSUER, "ada", "ada@acme.example", True)


async def test_what_a_token_may_carry() -> None:
    good = KEYS["RS256"]
    for token in (
        signed(good, aud=["us"]),
        signed(good, azp="us"),
        signed(good, aud=["us", "them"], azp="us"),
        signed(good, {"typ": ...}),
        signed(good, iat=time.time() + 20),
        signed(good, exp=time.time() - 20),
    ):
        assert (await read(token))["sub"] == "ada"


def _pem() -> bytes:
    key: Any = PyJWK.from_dict(public(KEYS["RS256"])).key
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


RS = KEYS["RS256"]
BAD: dict[str, Callable[[], object]] = {
    "no signature": lambda: f"{encoded({'alg': 'none', 'kid': 'RS256'})}.{encoded(claims())}.",
    "no signature, capitals": lambda: f"{encoded({'alg': 'NoNe', 'kid': 'RS256'})}.{encoded(claims())}.",
    "no signature, our header": lambda: signed(RS).rpartition(".")[0] + ".",
    "public key as a secret": lambda: macked(_pem()),
    "public key as a secret, as JSON": lambda: macked(json.dumps(public(RS)).encode()),
    "empty secret": lambda: macked(b""),
    "another key under the id": lambda: signed(STRANGER),
    "unknown id": lambda: signed(STRANGER, {"kid": "stranger"}),
    "no id": lambda: signed(RS, {"kid": ...}),
    "id is a list": lambda: signed(RS, {"kid": ["RS256"]}),
    "id is a path": lambda: signed(STRANGER, {"kid": "../../dev/null"}),
    "key of its own": lambda: signed(STRANGER, {"jwk": public(STRANGER)}),
    "keys at an address": lambda: signed(STRANGER, {"jku": "https://evil.example/jwks", "kid": "RS256"}),
    "certificate at an address": lambda: signed(STRANGER, {"x5u": "https://evil.example/x"}),
    "key for encryption": lambda: signed(FOR_ENCRYPTION),
    "key too short": lambda: signed(WEAK),
    "algorithm of another key": lambda: signed(RS, {"kid": "ES256"}),
    "algorithm the key has not": lambda: signed(RS, {"alg": "ES256"}),
    "algorithm not allowed": lambda: signed(RS, {"alg": "RS512"}),
    "algorithm is a list": lambda: signed(RS, {"alg": ["RS256"]}),
    "critical extension": lambda: signed(RS, {"crit": ["b64"], "b64": True}),
    "access token": lambda: signed(RS, {"typ": "at+jwt"}),
    "other issuer": lambda: signed(RS, iss="https://evil.example"),
    "issuer with a slash more": lambda: signed(RS, iss=f"{ISSUER}/"),
    "issuers in a list": lambda: signed(RS, iss=[ISSUER]),
    "no issuer": lambda: signed(RS, iss=...),
    "other audience": lambda: signed(RS, aud="them"),
    "audience inside a word": lambda: signed(RS, aud="usa"),
    "no audience": lambda: signed(RS, aud=...),
    "empty audience": lambda: signed(RS, aud=[]),
    "several audiences, for nobody": lambda: signed(RS, aud=["us", "them"]),
    "several audiences, for them": lambda: signed(RS, aud=["us", "them"], azp="them"),
    "made for them": lambda: signed(RS, azp="them"),
    "other nonce": lambda: signed(RS, nonce="of another log-in"),
    "no nonce": lambda: signed(RS, nonce=...),
    "nonce in a list": lambda: signed(RS, nonce=[NONCE]),
    "expired": lambda: signed(RS, exp=time.time() - 60),
    "never expires": lambda: signed(RS, exp=...),
    "expires at no number": lambda: signed(RS, exp=float("nan")),
    "of the future": lambda: signed(RS, iat=time.time() + 120, exp=time.time() + 600),
    "not yet": lambda: signed(RS, nbf=time.time() + 120),
    "of long ago": lambda: signed(RS, iat=time.time() - MAX_AGE_SECONDS - 60),
    "of no time": lambda: signed(RS, iat=...),
    "of no number": lambda: signed(RS, iat="yesterday"),
    "about nobody": lambda: signed(RS, sub=...),
    "about an empty name": lambda: signed(RS, sub=""),
    "about a number": lambda: signed(RS, sub=7),
    "about a long name": lambda: signed(RS, sub="a" * 256),
    "about a control character": lambda: signed(RS, sub="a\x00b"),
    "oversize": lambda: signed(RS, more="x" * MAX_BYTES),
    "encrypted": lambda: f"{encoded({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'RS256'})}.a.b.c.d",
    "two signatures": lambda: f"{signed(RS)}.{encoded(b'x')}",
    "changed": lambda: signed(RS).replace(".", ".e", 1),
    "payload is a list": lambda: _with_payload([claims()]),
    "payload is deep": lambda: _with_payload(b"[" * 5_000),
    "not text": lambda: {"id_token": "x"},
    "absent": lambda: None,
    "empty": lambda: "",
    "junk": lambda: "\x00.\ud800.💥",
}


def _with_payload(payload: object) -> str:
    text = f"{encoded({'alg': 'RS256', 'kid': 'RS256'})}.{encoded(payload)}"
    found = PyJWK.from_dict(RS)
    return f"{text}.{encoded(found.Algorithm.sign(text.encode(), found.key))}"


@pytest.mark.parametrize("kind", BAD)
async def test_a_wrong_token_is_refused(kind: str) -> None:
    with pytest.raises(IdentityInvalid):
        await read(BAD[kind]())


async def test_the_table_fails_for_its_own_reason_only() -> None:
    """The helper signs what would be taken, were nothing wrong with it."""
    assert (await read(signed(RS)))["sub"] == "ada"
    assert jwt.get_unverified_header(signed(RS)) == {"alg": "RS256", "kid": "RS256", "typ": "JWT"}
    with pytest.raises(IdentityInvalid):
        await read(signed(RS), nonce="")


@pytest.mark.parametrize("said", ["true", 1, None, ["true"], {}])
def test_only_true_says_that_an_address_is_verified(said: object) -> None:
    assert not identity_of(ISSUER, {"sub": "ada", "email": "a@b.example", "email_verified": said}).email_verified
    assert identity_of(ISSUER, {"sub": "ada", "email": ["a@b.example"]}).email is None


async def test_keys_are_fetched_once_and_anew_for_an_unknown_id_but_not_each_time() -> None:
    old, new = new_key("ES256", "old"), new_key("ES256", "new")
    source = Source({"keys": [public(old)]})
    keys = source.keys()
    for _ in range(3):
        assert (await keys.find("old", "ES256")).key_id == "old"
    assert source.asked == 1
    source.found = {"keys": [public(new)]}
    for _ in range(5):
        with pytest.raises(IdentityInvalid):
            await keys.find("new", "ES256")
    # It has just looked.
    assert source.asked == 1
    source.now += PAUSE_SECONDS
    assert (await keys.find("new", "ES256")).key_id == "new"
    for _ in range(5):
        with pytest.raises(IdentityInvalid):
            await keys.find("old", "ES256")
    assert source.asked == 2


async def test_a_withdrawn_key_counts_no_longer_than_it_is_kept() -> None:
    source = Source({"keys": [public(RS)]})
    keys = source.keys()
    await keys.find("RS256", "RS256")
    source.found = {"keys": []}
    source.now += KEEP_SECONDS - 1
    await keys.find("RS256", "RS256")
    source.now += 1
    with pytest.raises(IdentityInvalid):
        await keys.find("RS256", "RS256")


async def test_a_provider_that_is_away_refuses_and_comes_back() -> None:
    source = Source({"keys": [public(RS)]})
    source.away = True
    keys = source.keys()
    with pytest.raises(Unavailable):
        await keys.find("RS256", "RS256")
    source.away = False
    assert (await keys.find("RS256", "RS256")).key_id == "RS256"


@pytest.mark.parametrize("found", [{}, {"keys": None}, {"keys": {"kid": "a"}}, {"keys": [None, "a", {}, {"kid": 1}]}])
async def test_a_set_that_is_none_has_no_keys(found: dict[str, Any]) -> None:
    with pytest.raises(IdentityInvalid):
        await Source(found).keys().find("a", "RS256")
