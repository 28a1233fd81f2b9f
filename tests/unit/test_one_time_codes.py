"""Codes of the second factor: the RFC's vectors, the window, and recovery codes."""

from uuid import uuid4

import pyotp
import pytest

from deployments.gateway.one_time_codes import (
    RECOVERY_CODES,
    hash_recovery_code,
    matching_step,
    new_recovery_codes,
    new_secret,
    provisioning_uri,
)
from domain.ids import UserId

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""`12345678901234567890`. Source: RFC 6238, appendix B; six digits are the last six of its eight."""


@pytest.mark.parametrize(
    ("now", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_vectors_of_the_rfc(now: int, code: str) -> None:
    assert matching_step(RFC_SECRET, code, now) == now // 30


def test_a_code_counts_one_step_early_and_late_and_no_further() -> None:
    step = 40_000_000
    code = pyotp.TOTP(RFC_SECRET).generate_otp(step)
    found = {drift: matching_step(RFC_SECRET, code, (step + drift) * 30 + 15) for drift in range(-3, 4)}
    assert found == {-3: None, -2: None, -1: step, 0: step, 1: step, 2: None, 3: None}


def test_what_is_no_code_matches_nothing() -> None:
    for code in ("", "0", "28708", "2870820", "２８７０８２", "287082 "):
        assert matching_step(RFC_SECRET, code, 59) is None


def test_secrets_are_random_and_the_address_carries_them() -> None:
    secret = new_secret()
    assert len(secret) == 32
    assert secret != new_secret()
    uri = provisioning_uri(secret, "ada+x@example.com", "Loquent")
    assert uri.startswith("otpauth://totp/Loquent:ada%2Bx%40example.com?")
    assert f"secret={secret}" in uri
    read = pyotp.parse_uri(uri)
    assert (read.secret, read.name, read.issuer) == (secret, "ada+x@example.com", "Loquent")


def test_recovery_codes_differ_and_hash_alike_however_they_are_typed() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES
    assert all(len(code.replace("-", "")) == 16 for code in codes)
    ada, bob = UserId(uuid4()), UserId(uuid4())
    typed = codes[0].replace("-", " ").upper()
    assert hash_recovery_code(ada, typed) == hash_recovery_code(ada, codes[0])
    assert hash_recovery_code(ada, codes[0]) != hash_recovery_code(bob, codes[0])
    assert hash_recovery_code(ada, codes[0]) != hash_recovery_code(ada, codes[1])
