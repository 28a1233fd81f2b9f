"""TenantCipher: seals and opens one tenant's values with the versions of its data key."""

import time
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.ids import DocumentId, TenantId
from storage.keys.document_keys import DocumentKeys
from storage.keys.sealed_value import seal, unseal


class TenantCipher:
    """Any version opens; the newest that is active seals.

    A new version waits (`active_in`, seconds) until every process has read it, so that none meets a value of a
    version that it does not know.
    """

    def __init__(
        self,
        tenant_id: TenantId,
        keys: Mapping[int, bytes],
        active_in: Mapping[int, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keys` are 32 bytes by version; at least one must be active."""
        self.tenant_id = tenant_id
        self._keys = dict(keys)
        self._aeads = {version: AESGCM(key) for version, key in keys.items()}
        self._clock = clock
        now = clock()
        waits = active_in or {}
        self._active_at = [(version, now + waits.get(version, 0.0)) for version in sorted(keys, reverse=True)]

    def __repr__(self) -> str:
        return f"<TenantCipher of {self.tenant_id}, versions {self.versions}>"

    @property
    def versions(self) -> list[int]:
        return sorted(self._keys)

    @property
    def version(self) -> int:
        """The one that seals."""
        if len(self._active_at) > 1:
            now = self._clock()
            return next(version for version, at in self._active_at if at <= now)
        return self._active_at[0][0]

    def seal(self, place: str, data: bytes) -> bytes:
        version = self.version
        return seal(self._aeads[version], version, self.tenant_id, place, data)

    def open(self, place: str, value: bytes) -> bytes:
        """Raises Unreadable."""
        return unseal(self._aeads, self.tenant_id, place, value)

    def seal_text(self, place: str, text: str) -> bytes:
        return self.seal(place, text.encode())

    def open_text(self, place: str, value: bytes) -> str:
        """Raises Unreadable."""
        return self.open(place, value).decode()

    def for_document(self, document_id: DocumentId) -> DocumentKeys:
        """Keys that open this document's files and nothing else."""
        return DocumentKeys.derive(self.tenant_id, document_id, self._keys, self.version)
