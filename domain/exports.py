"""Exports: archives of what is stored of a visitor, of one of the tenant's people, or of the whole tenant."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.ids import TenantId

FORMAT = "loquent-export-1"


class ExportKind(StrEnum):
    VISITOR = "visitor"
    MEMBER = "member"
    TENANT = "tenant"


class ExportState(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Export:
    tenant_id: TenantId
    id: UUID
    kind: ExportKind
    subject: UUID
    state: ExportState
    requested_by: str
    """`user:<id>` or `visitor:<id>`."""
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    size: int | None
    """Bytes of the archive."""
    sha256: str | None
    """Of the archive, hexadecimal."""
    attempts: int
