"""The form of a sealed value: format, key version, nonce, then what AES-256-GCM made of the content, with its tag.

| bytes | what |
|---|---|
| 1 | format, 1 |
| 4 | version of the key, big-endian |
| 12 | nonce, random |
| n + 16 | ciphertext and tag |

The header, the tenant and the value's place are authenticated with it (associated data).
Source: NIST SP 800-38D; 96-bit random nonces keep to its bound of 2^32 values per key.
"""

import os
from collections.abc import Mapping
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag

from domain.errors import Unreadable
from domain.ids import TenantId

FORMAT = 1
HEADER_BYTES, NONCE_BYTES, TAG_BYTES = 5, 12, 16
OVERHEAD_BYTES = HEADER_BYTES + NONCE_BYTES + TAG_BYTES
_FORMAT = bytes([FORMAT])
_BODY = HEADER_BYTES + NONCE_BYTES


class Aead(Protocol):
    """`cryptography`'s AESGCM."""

    def encrypt(self, nonce: bytes, data: Any, associated_data: Any, /) -> bytes: ...

    def decrypt(self, nonce: Any, data: Any, associated_data: Any, /) -> bytes: ...


def seal(aead: Aead, version: int, tenant_id: TenantId, place: str, data: bytes) -> bytes:
    """`len(data) + OVERHEAD_BYTES` bytes that open in this place only."""
    header = _FORMAT + version.to_bytes(4, "big")
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + aead.encrypt(nonce, data, _associated(header, tenant_id, place))


def unseal(aeads: Mapping[int, Aead], tenant_id: TenantId, place: str, value: bytes) -> bytes:
    """Raises Unreadable for what was not sealed for this place with one of these keys."""
    if len(value) < OVERHEAD_BYTES or value[0] != FORMAT:
        raise Unreadable
    aead = aeads.get(version_of(value))
    if aead is None:
        raise Unreadable
    header = value[:HEADER_BYTES]
    try:
        return aead.decrypt(value[HEADER_BYTES:_BODY], value[_BODY:], _associated(header, tenant_id, place))
    except InvalidTag as error:
        raise Unreadable from error


def version_of(value: bytes) -> int:
    """Which version of the key a sealed value names."""
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def _associated(header: bytes, tenant_id: TenantId, place: str) -> bytes:
    # Ids have one form and length, so that no two places look the same.
    return header + f"loquent-sealed|{tenant_id}|{place}".encode()
