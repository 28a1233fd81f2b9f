"""Keys derived from the platform's secret, one per purpose."""

import hmac


def derive_key(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose, so that no key serves two. Source: HKDF-Expand, RFC 5869, first block."""
    return hmac.digest(secret.encode(), f"loquent:{purpose}".encode() + b"\x01", "sha256")
