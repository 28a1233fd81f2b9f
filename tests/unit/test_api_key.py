"""The form of API keys: what is one, and what is not."""

import hashlib
import string

import pytest

from domain.api_key import new_api_key, parse_api_key
from domain.errors import Forbidden
from domain.permissions import KEY_PERMISSIONS, Permission, check
from domain.tenancy import Role

TEXT, KEY = new_api_key()


def test_a_new_key_is_read_back() -> None:
    assert parse_api_key(TEXT) == KEY
    assert TEXT.startswith(f"lq_live_{KEY.prefix}_")
    assert len(TEXT) == 66
    secret = TEXT[17:60]
    assert KEY.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert secret.encode() not in KEY.secret_hash


def test_keys_differ() -> None:
    found = [new_api_key() for _ in range(200)]
    assert len({text for text, _ in found}) == 200
    assert len({key.secret_hash for _, key in found}) == 200


def test_every_change_of_one_character_is_noticed() -> None:
    alphabet = string.ascii_letters + string.digits
    for place, character in enumerate(TEXT):
        other = next(c for c in alphabet if c != character)
        assert parse_api_key(TEXT[:place] + other + TEXT[place + 1 :]) is None, place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lq_",
        "lq_live_",
        TEXT[:-1],
        TEXT[:-6],
        TEXT[:20],
        TEXT + "x",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT.lower(),
        TEXT.swapcase(),
        TEXT.replace("lq_live", "lq_test"),
        TEXT.replace("_", "-"),
        TEXT[:20] + "é" + TEXT[21:],
        TEXT[:20] + "٣" + TEXT[21:],
        TEXT[:20] + "\0" + TEXT[21:],
        TEXT[:20] + "\ud800" + TEXT[21:],
        "lq_live_" + "x" * 10_000,
        TEXT * 200,
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert parse_api_key(text) is None


def test_a_key_does_what_it_is_for_and_its_maker_may() -> None:
    scopes = frozenset[str]((Permission.CHATBOTS_READ, Permission.AUDIT_READ))
    check(Role.OWNER, Permission.AUDIT_READ, scopes)
    for role, permission in ((Role.OWNER, Permission.CHATBOTS_WRITE), (Role.EDITOR, Permission.AUDIT_READ)):
        with pytest.raises(Forbidden):
            check(role, permission, scopes)


def test_no_key_makes_keys() -> None:
    assert Permission.API_KEYS_MANAGE not in KEY_PERMISSIONS
    with pytest.raises(Forbidden):
        check(Role.OWNER, Permission.API_KEYS_MANAGE, frozenset(Permission))
