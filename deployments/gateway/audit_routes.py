"""The tenant's audit log: listed, and exported whole."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from deployments.gateway.models import Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, AuditEvent, Target
from domain.ids import TenantId
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.database import tenant_tx

router = APIRouter(tags=["audit"])

Reader = Annotated[Principal, require(Permission.AUDIT_READ)]

Filter = Annotated[str, Query(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")]
Before = Annotated[int, Query(ge=1, le=2**63 - 1)]


class AuditEventModel(BaseModel):
    seq: int
    at: datetime
    actor_kind: str
    actor_id: str | None
    action: str
    target_kind: str
    target_id: str | None
    ip: str | None
    request_id: str | None
    details: dict[str, Any]
    previous_hash: str = Field(description="Hexadecimal, as is `hash`; docs/audit.md says how it is computed.")
    hash: str

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        return cls(
            seq=event.seq,
            at=event.at,
            actor_kind=event.actor_kind,
            actor_id=event.actor_id,
            action=event.action,
            target_kind=event.target_kind,
            target_id=event.target_id,
            ip=event.ip,
            request_id=event.request_id,
            details=dict(event.details),
            previous_hash=event.previous_hash.hex(),
            hash=event.hash.hex(),
        )


class AuditPage(BaseModel):
    items: list[AuditEventModel]
    next_cursor: str | None


@router.get("/audit")
async def list_audit(
    services: Services,
    owner: Reader,
    limit: Limit = 50,
    cursor: Before | None = None,
    action: Filter | None = None,
    actor: Filter | None = None,
) -> AuditPage:
    """Newest first; `action` as in `chatbot.create`, `actor` is somebody's id."""
    async with tenant_tx(services.db, owner.tenant_id) as tx:
        found = await Audit(tx).list_page(owner.tenant_id, limit + 1, cursor, action, actor)
    more = str(found[limit - 1].seq) if len(found) > limit else None
    return AuditPage(items=[AuditEventModel.of(event) for event in found[:limit]], next_cursor=more)


_LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {}}, "description": "One event per line, the oldest first."}
}


@router.get("/audit/export", response_class=StreamingResponse, responses=_LINES)
async def export_audit(services: Services, owner: Reader, origin: CurrentOrigin) -> StreamingResponse:
    """Everything as JSON Lines. The last line is the event of this export itself: without it something is missing."""
    async with tenant_tx(services.db, owner.tenant_id) as tx:
        tenant = Target("tenant", str(owner.tenant_id))
        last = await Audit(tx).append(owner.tenant_id, origin, Action.AUDIT_EXPORT, tenant)
    return StreamingResponse(
        _lines(services, owner.tenant_id, last.seq),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
    )


async def _lines(services: GatewayServices, tenant_id: TenantId, last: int) -> AsyncIterator[bytes]:
    """A transaction for every page: a slow reader holds no connection."""
    after = 0
    while after < last:
        async with tenant_tx(services.db, tenant_id) as tx:
            page = await Audit(tx).following(tenant_id, after)
        if not page:
            return
        fitting = [event for event in page if event.seq <= last]
        yield b"".join(json.dumps(_line(tenant_id, event)).encode() + b"\n" for event in fitting)
        after = page[-1].seq


def _line(tenant_id: UUID, event: AuditEvent) -> dict[str, Any]:
    return {"tenant_id": str(tenant_id), **AuditEventModel.of(event).model_dump(mode="json")}
