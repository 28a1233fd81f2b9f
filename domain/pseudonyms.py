"""Keys of pseudonyms: one per tenant and month, so that nobody can be followed from one month into the next."""

from collections.abc import Iterator
from datetime import date

from domain.ids import TenantId
from domain.keys import derive_key

BLOCK = 64
"""Bytes of a block of SHA-256."""


def months_between(since: date, until: date) -> Iterator[str]:
    """`2026-11` and so on, both ends included."""
    month = since.replace(day=1)
    while month <= until:
        yield f"{month:%Y-%m}"
        month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def pads_of(secret: str, tenant_id: TenantId, month: str) -> tuple[bytes, bytes]:
    """The inner and outer pad of HMAC-SHA256 under the key of a tenant and month. Source: RFC 2104, section 2."""
    key = derive_key(secret, f"pseudonym:{tenant_id}:{month}").ljust(BLOCK, b"\x00")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)
