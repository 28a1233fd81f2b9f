"""Mutual proof of the shared secret: each side answers the other's fresh nonce with an HMAC-SHA256.

Server → HELLO [nonce]; client → HELLO [nonce, proof]; server → HELLO [proof]. The labels keep one side's
proof from being played back as the other's (the pattern of ISO/IEC 9798-4). The frames that follow are
neither encrypted nor signed: the ports belong on a private network.
"""

import hashlib
import hmac
import secrets
from typing import Any

from actors.streams.codec import BadFrame

NONCE_BYTES = 32
_CLIENT = b"loquent-streams-1 client"
_SERVER = b"loquent-streams-1 server"


def new_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


def client_proof(secret: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    return hmac.digest(secret, _CLIENT + server_nonce + client_nonce, hashlib.sha256)


def server_proof(secret: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    return hmac.digest(secret, _SERVER + server_nonce + client_nonce, hashlib.sha256)


def is_same(proof: bytes, expected: bytes) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(proof, expected)


def fields(body: Any, count: int) -> list[bytes]:
    """The 32-byte fields of a HELLO body. Raises BadFrame."""
    if not isinstance(body, list) or len(body) != count:
        raise BadFrame("a malformed hello")
    if not all(isinstance(field, bytes) and len(field) == NONCE_BYTES for field in body):
        raise BadFrame("a malformed hello")
    return body
