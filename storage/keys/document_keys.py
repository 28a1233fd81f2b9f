"""DocumentKeys: what seals and opens one document's files, also in the processes of the ingestion pipeline."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.ids import DocumentId, TenantId
from domain.sealing import file_place
from storage.keys.sealed_value import seal, unseal

MAGIC = b"\x00loquent-sealed\x00"
"""Before a sealed file: it tells one from the files of earlier days, which are in clear."""


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """Derived from the versions of the tenant's data key, so that a pipeline holds no more than it works on.

    Source: HKDF-Expand, RFC 5869, first block.
    """

    tenant_id: TenantId
    document_id: DocumentId
    version: int
    """The one that seals."""
    keys: Mapping[int, bytes] = field(repr=False)

    @classmethod
    def derive(
        cls, tenant_id: TenantId, document_id: DocumentId, tenant_keys: Mapping[int, bytes], version: int
    ) -> Self:
        purpose = f"loquent:file:{document_id}".encode() + b"\x01"
        return cls(
            tenant_id, document_id, version, {n: hmac.digest(key, purpose, "sha256") for n, key in tenant_keys.items()}
        )

    @classmethod
    def loads(cls, tenant_id: TenantId | str, document_id: DocumentId | str, text: str) -> Self:
        """The inverse of `dumps`."""
        fields = json.loads(text)
        keys = {int(version): bytes.fromhex(key) for version, key in fields["keys"].items()}
        return cls(TenantId(UUID(str(tenant_id))), DocumentId(UUID(str(document_id))), int(fields["version"]), keys)

    def dumps(self) -> str:
        """For a work item. It holds keys: never log it."""
        return json.dumps({"version": self.version, "keys": {str(n): key.hex() for n, key in self.keys.items()}})

    def seal(self, name: str, data: bytes) -> bytes:
        """`name` is the file's, below the document's folder."""
        aead = AESGCM(self.keys[self.version])
        return MAGIC + seal(aead, self.version, self.tenant_id, file_place(self.document_id, name), data)

    def open(self, name: str, data: bytes, *, clear_too: bool = False) -> bytes:
        """Raises Unreadable. `clear_too` lets a file pass that was never sealed."""
        if clear_too and not data.startswith(MAGIC):
            return data
        aeads = {version: AESGCM(key) for version, key in self.keys.items()}
        # What does not begin like that is no sealed value either.
        return unseal(aeads, self.tenant_id, file_place(self.document_id, name), data.removeprefix(MAGIC))
