"""Random secrets that are handed out once and stored as a hash."""

import hashlib
import secrets


def new_secret() -> tuple[str, bytes]:
    """256 random bits as URL-safe text, and the hash to store."""
    secret = secrets.token_urlsafe(32)
    return secret, hash_of_secret(secret)


def hash_of_secret(secret: str) -> bytes:
    """32 bytes. A plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()
