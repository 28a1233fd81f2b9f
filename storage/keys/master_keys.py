"""LocalMasterKeys: the master keys of the settings, which wrap and unwrap tenants' data keys in this process."""

import os
import re
import secrets
from collections.abc import Mapping

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Unavailable, Unreadable
from domain.ids import TenantId
from domain.sealing import KEY_BYTES, WrappedKey

log = structlog.get_logger()

_NONCE_BYTES = 12
_ENTRY = re.compile(r"([a-z0-9][a-z0-9._-]{0,62}):([0-9a-fA-F]{64})")


def parse_master_keys(text: str) -> dict[str, bytes]:
    """Keys by id, in order, from `id:64 hexadecimal digits`, several with commas. Raises ValueError."""
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        found = _ENTRY.fullmatch(entry.strip())
        if found is None:
            raise ValueError("master keys are `id:64 hexadecimal digits`, the newest first, with commas between")
        if found[1] in keys or bytes.fromhex(found[2]) in keys.values():
            raise ValueError("a master key is there twice")
        keys[found[1]] = bytes.fromhex(found[2])
    return keys


def new_master_key() -> str:
    """An entry of the setting, with an id that no other has."""
    return f"key-{secrets.token_hex(4)}:{secrets.token_hex(KEY_BYTES)}"


class LocalMasterKeys:
    """KeyEncryption with 256-bit keys in memory. Wrapped: a nonce of 12 bytes, then AES-256-GCM's output."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """The first is the newest. Raises ValueError without any."""
        if not keys:
            raise ValueError("Settings.master_keys must be set before anything can be sealed.")
        self._aeads = {name: AESGCM(key) for name, key in keys.items()}
        self._newest = next(iter(keys))

    def __repr__(self) -> str:
        return f"<LocalMasterKeys {', '.join(self._aeads)}>"

    @property
    def newest(self) -> str:
        return self._newest

    async def wrap(self, tenant_id: TenantId, version: int, key: bytes) -> WrappedKey:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._aeads[self._newest].encrypt(nonce, key, _associated(tenant_id, version))
        return WrappedKey(self._newest, nonce + sealed)

    async def unwrap(self, tenant_id: TenantId, version: int, wrapped: WrappedKey) -> bytes:
        """Raises Unavailable for a master key that the settings lack, Unreadable for what it did not wrap like this."""
        aead = self._aeads.get(wrapped.master_key_id)
        if aead is None:
            log.error("master_key.missing", master_key=wrapped.master_key_id, tenant=str(tenant_id))
            raise Unavailable
        nonce, sealed = wrapped.wrapped[:_NONCE_BYTES], wrapped.wrapped[_NONCE_BYTES:]
        try:
            return aead.decrypt(nonce, sealed, _associated(tenant_id, version))
        except (InvalidTag, ValueError) as error:
            raise Unreadable from error


def _associated(tenant_id: TenantId, version: int) -> bytes:
    return f"loquent-tenant-key|{tenant_id}|{version}".encode()
