"""API keys as text: `lq_live_<prefix>_<secret>`, with a checksum at the end so that scanners for leaked secrets tell
them from other text."""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass

MARK = "lq_"
"""What every key begins with, and no other token does."""
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX, _SECRET, _CHECKSUM = 8, 43, 6
_KEY = re.compile(rf"(lq_live_([0-9A-Za-z]{{{_PREFIX}}})_([0-9A-Za-z]{{{_SECRET}}}))([0-9A-Za-z]{{{_CHECKSUM}}})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    prefix: str
    """Public: it finds the key, and names it in lists."""
    secret_hash: bytes
    """SHA-256 of the secret, 32 bytes. A plain hash is enough: there are 256 random bits, and nothing to guess."""


def new_api_key() -> tuple[str, ApiKey]:
    """The text for whoever asked, which nobody keeps, and what is stored."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX))
    secret = _base62(int.from_bytes(secrets.token_bytes(32), "big"), _SECRET)
    text = f"lq_live_{prefix}_{secret}"
    return text + _checksum(text), ApiKey(prefix, _hash(secret))


def parse_api_key(text: str) -> ApiKey | None:
    """None for what cannot be a key: another form, another case, or a wrong checksum."""
    found = _KEY.fullmatch(text)
    if found is None or _checksum(found[1]) != found[4]:
        return None
    return ApiKey(found[2], _hash(found[3]))


def _checksum(text: str) -> str:
    """CRC-32 in base 62: it tells a typing error from a key, and proves nothing."""
    return _base62(zlib.crc32(text.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
