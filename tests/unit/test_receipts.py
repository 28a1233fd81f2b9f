"""Receipts: what they say, what signs them, and what is refused."""

import base64
import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.consent import shortened
from domain.erasure import Erasure, ErasureKind, ErasureState, Step, added, receipt_of, steps_of
from domain.ids import TenantId
from domain.pseudonyms import months_between, pads_of
from storage.receipts import ReceiptSigner, verify_receipt

SIGNER = ReceiptSigner("secret")
NOW = datetime(2026, 11, 28, tzinfo=UTC)
ERASURE = Erasure(
    tenant_id=TenantId(UUID(int=1)),
    id=UUID(int=2),
    kind=ErasureKind.SESSION,
    subject=UUID(int=3),
    chatbot_id=None,
    state=ErasureState.RUNNING,
    requested_by="user:x",
    requested_at=NOW,
    not_before=NOW,
    started_at=NOW,
    finished_at=None,
    related={"sessions": [str(UUID(int=3))]},
    steps=(),
    counts={},
    attempts=0,
    error=None,
    receipt=None,
)


def signed() -> str:
    return SIGNER.sign(receipt_of(ERASURE, NOW, {"blobs": 2, "postgres.messages": 4}))


def test_a_receipt_holds_under_its_key_however_it_is_laid_out() -> None:
    receipt = verify_receipt(signed().encode(), SIGNER.public_key)
    assert receipt["erased"] == {"blobs": 2, "postgres.messages": 4}
    assert (receipt["subject"], receipt["tenant_id"]) == (str(UUID(int=3)), str(UUID(int=1)))
    other = json.dumps(json.loads(signed()), sort_keys=True, indent=7)
    assert verify_receipt(other.encode(), SIGNER.public_key) == receipt


def test_the_key_is_the_secrets() -> None:
    """RFC 8032 signatures are deterministic: a receipt of long ago is told from a forged one."""
    assert ReceiptSigner("secret").public_key == SIGNER.public_key
    assert ReceiptSigner("secret").sign({"a": 1}) == SIGNER.sign({"a": 1})
    assert ReceiptSigner("other").public_key != SIGNER.public_key
    with pytest.raises(ValueError, match="another key"):
        verify_receipt(signed().encode(), ReceiptSigner("other").public_key)
    with pytest.raises(ValueError, match="secret"):
        ReceiptSigner("")


@pytest.mark.parametrize(
    "change",
    [
        {"subject": str(UUID(int=4))},
        {"erased": {}},
        {"finished_at": "2020-01-01T00:00:00+00:00"},
        {"note": "added"},
        {"signature": base64.b64encode(bytes(64)).decode()},
        {"signature": ""},
        {"signature": "%%%"},
        {"signature": None},
        {"format": "other"},
        {"key_id": "0" * 16},
    ],
)
def test_a_changed_receipt_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        verify_receipt(json.dumps({**json.loads(signed()), **change}).encode(), SIGNER.public_key)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": 1, "a": 2}',
        b" " * 2_000_000,
        b'{"signature": 1}',
    ],
)
def test_what_is_no_receipt_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        verify_receipt(data, SIGNER.public_key)


def test_every_kind_ends_with_the_search() -> None:
    for kind in ErasureKind:
        steps = steps_of(kind)
        assert steps[-1] is Step.VERIFY
        assert len(set(steps)) == len(steps)
        # Events are gone from the outbox before they are taken out of Redis: the relay brings none back.
        assert steps.index(Step.EVENTS) < steps.index(Step.REDIS)
    assert added({"a": 1, "b": 0}, {"a": 2}) == {"a": 3}


@pytest.mark.parametrize(
    ("ip", "short"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("", None),
        (None, None),
        ("unknown", None),
        ("203.0.113.77/32", None),
    ],
)
def test_addresses_are_shortened(ip: str | None, short: str | None) -> None:
    assert shortened(ip) == short


def test_pseudonyms_are_of_one_tenant_and_month() -> None:
    import hmac
    from hashlib import sha256

    from domain.keys import derive_key

    one = TenantId(UUID(int=1))
    inner, outer = pads_of("s", one, "2026-11")
    message = UUID(int=9).bytes
    key = derive_key("s", f"pseudonym:{one}:2026-11")
    assert sha256(outer + sha256(inner + message).digest()).digest() == hmac.digest(key, message, "sha256")
    assert (
        len(
            {pads_of("s", one, "2026-11"), pads_of("s", one, "2026-12"), pads_of("s", TenantId(UUID(int=2)), "2026-11")}
        )
        == 3
    )
    assert list(months_between(date(2025, 12, 31), date(2026, 2, 1))) == ["2025-12", "2026-01", "2026-02"]
    assert list(months_between(date(2026, 11, 5), date(2026, 11, 4))) == ["2026-11"]
