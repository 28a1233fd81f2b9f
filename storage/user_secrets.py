"""Secrets of people, who belong to no tenant, encrypted at rest under a key derived from the platform's secret."""

from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.ids import UserId
from domain.keys import derive_key

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class UserSecrets:
    """AES-256-GCM; a sealed secret opens for its owner and its purpose only.

    Sealed: the format `01`, a random nonce of 12 bytes, the ciphertext and the tag of 16 bytes.
    """

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(derive_key(secret_key, "user-secrets"))

    def seal(self, secret: bytes, owner: UserId, purpose: str) -> bytes:
        nonce = token_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, secret, _bound(owner, purpose))

    def open(self, sealed: bytes, owner: UserId, purpose: str) -> bytes:
        """Raises ValueError for what was sealed for another owner or purpose, under another key, or was changed."""
        if len(sealed) < len(_FORMAT) + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _FORMAT:
            raise ValueError("this is no sealed secret")
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, _bound(owner, purpose))
        except InvalidTag as error:
            raise ValueError("the secret was changed, or sealed for something else") from error


def _bound(owner: UserId, purpose: str) -> bytes:
    return _FORMAT + owner.bytes + purpose.encode()
