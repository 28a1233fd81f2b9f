"""Signatures of erasure receipts: Ed25519 under a key derived from the platform's secret (RFC 8032)."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.erasure import FORMAT, canonical
from domain.keys import derive_key

KEY_PURPOSE = "erasure-receipt"
MAX_RECEIPT_BYTES = 1024 * 1024


class ReceiptSigner:
    """Raises ValueError without a secret: everybody would have its key."""

    def __init__(self, secret: str) -> None:
        if not secret:
            raise ValueError("receipts need a secret")
        self._key = Ed25519PrivateKey.from_private_bytes(derive_key(secret, KEY_PURPOSE))

    @property
    def public_key(self) -> bytes:
        """32 bytes, for everybody."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, receipt: Mapping[str, Any]) -> str:
        """The receipt as JSON with its key's id and signature."""
        whole = {**receipt, "key_id": key_id_of(self.public_key)}
        signature = base64.b64encode(self._key.sign(canonical(whole))).decode()
        return json.dumps({**whole, "signature": signature}, indent=1, ensure_ascii=False)


def key_id_of(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


def verify_receipt(data: bytes, public_key: bytes) -> dict[str, Any]:
    """What the receipt says. Raises ValueError, with a sentence, for anything that this key did not sign."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise ValueError("This is too large for a receipt.")
    try:
        receipt = json.loads(data, object_pairs_hook=_without_repeats)
        signature = base64.b64decode(receipt["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise ValueError("This is no receipt.") from None
    if receipt.get("format") != FORMAT:
        raise ValueError("This is no receipt of a known format.")
    if receipt.get("key_id") != key_id_of(public_key):
        raise ValueError("The receipt was signed with another key.")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, canonical(receipt))
    except (InvalidSignature, ValueError):
        raise ValueError("The signature does not hold: the receipt was changed.") from None
    return dict(receipt)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found
