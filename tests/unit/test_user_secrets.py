"""Sealed secrets of people open for their owner, purpose and key, unchanged, and for nothing else."""

from uuid import uuid4

import pytest

from domain.ids import UserId
from storage.user_secrets import UserSecrets

OWNER = UserId(uuid4())


def test_a_secret_comes_back_and_never_seals_the_same_way_twice() -> None:
    secrets = UserSecrets("key")
    first, second = (secrets.seal(b"a secret", OWNER, "totp") for _ in range(2))
    assert first != second
    assert b"a secret" not in first
    assert secrets.open(first, OWNER, "totp") == secrets.open(second, OWNER, "totp") == b"a secret"


def test_another_owner_purpose_or_key_does_not_open_it() -> None:
    sealed = UserSecrets("key").seal(b"a secret", OWNER, "totp")
    with pytest.raises(ValueError, match="something else"):
        UserSecrets("key").open(sealed, UserId(uuid4()), "totp")
    with pytest.raises(ValueError, match="something else"):
        UserSecrets("key").open(sealed, OWNER, "other")
    with pytest.raises(ValueError, match="something else"):
        UserSecrets("another").open(sealed, OWNER, "totp")


def test_every_changed_byte_is_noticed() -> None:
    secrets = UserSecrets("key")
    sealed = secrets.seal(b"a secret", OWNER, "totp")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(ValueError, match="secret"):
            secrets.open(changed, OWNER, "totp")
    for length in range(len(sealed)):
        with pytest.raises(ValueError, match="secret"):
            secrets.open(sealed[:length], OWNER, "totp")
