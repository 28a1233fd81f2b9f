"""Exports of a visitor's, a member's and the company's data: asked for, watched, and taken away within a day."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from deployments.gateway.consent_routes import require_visitor
from deployments.gateway.erasure_models import requester_of
from deployments.gateway.models import Limit
from deployments.gateway.origin import ChatterOrigin, CurrentOrigin
from deployments.gateway.principal import CurrentPrincipal, require, require_chatter
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Origin, Target
from domain.errors import NotFound
from domain.exports import Export, ExportKind, ExportState
from domain.ids import TenantId
from domain.permissions import PERMISSIONS, Permission
from domain.tenancy import Chatter, Principal
from storage.blobs import export_key
from storage.postgres.audit import Audit
from storage.postgres.database import tenant_tx
from storage.postgres.exports import Exports

router = APIRouter(tags=["privacy"])

Exporter = Annotated[Principal, require(Permission.DATA_EXPORT)]
ExportingChatter = Annotated[Chatter, require_chatter(Permission.DATA_EXPORT)]
VISITOR = "/chatbots/{chatbot_id}/visitors/{visitor_id}/exports"
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "The archive, as docs/privacy.md describes it."}
}


class ExportModel(BaseModel):
    id: UUID
    kind: ExportKind
    subject: UUID
    state: ExportState
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When the archive is removed.")
    size: int | None
    sha256: str | None

    @classmethod
    def of(cls, export: Export) -> Self:
        return cls.model_validate(export, from_attributes=True)


class ExportPage(BaseModel):
    items: list[ExportModel]
    next_cursor: str | None


@router.post("/exports", status_code=202)
async def export_tenant(services: Services, principal: Exporter, origin: CurrentOrigin) -> ExportModel:
    """Everything of the company, with the original documents."""
    return await _request(services, principal.tenant_id, ExportKind.TENANT, principal.tenant_id, origin)


@router.post("/me/exports", status_code=202)
async def export_member(services: Services, principal: CurrentPrincipal, origin: CurrentOrigin) -> ExportModel:
    """What is stored of the person who asks."""
    return await _request(services, principal.tenant_id, ExportKind.MEMBER, principal.user_id, origin)


@router.get("/exports")
async def list_exports(
    services: Services, principal: Exporter, limit: Limit = 50, cursor: UUID | None = None
) -> ExportPage:
    """Newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        found = await Exports(tx).list_page(principal.tenant_id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return ExportPage(items=[ExportModel.of(export) for export in found[:limit]], next_cursor=more)


@router.get("/exports/{export_id}")
async def get_export(export_id: UUID, services: Services, principal: CurrentPrincipal) -> ExportModel:
    """One's own, or any for who may export the company's data."""
    return ExportModel.of(await _own(services, principal, export_id))


@router.get("/exports/{export_id}/archive", response_class=StreamingResponse, responses=_ZIP)
async def download_export(
    export_id: UUID, services: Services, principal: CurrentPrincipal, origin: CurrentOrigin
) -> StreamingResponse:
    """The archive of one's own, or of any for who may export the company's data."""
    return await _download(services, await _own(services, principal, export_id), origin)


@router.post(VISITOR, status_code=202)
async def export_visitor(
    chatbot_id: UUID, visitor_id: UUID, services: Services, chatter: ExportingChatter, origin: ChatterOrigin
) -> ExportModel:
    """Everything of one visitor; visitors ask for their own."""
    await require_visitor(services, chatter, chatbot_id, visitor_id)
    return await _request(services, chatter.tenant_id, ExportKind.VISITOR, visitor_id, origin)


@router.get(VISITOR + "/{export_id}")
async def get_visitor_export(
    chatbot_id: UUID, visitor_id: UUID, export_id: UUID, services: Services, chatter: ExportingChatter
) -> ExportModel:
    return ExportModel.of(await _of_visitor(services, chatter, chatbot_id, visitor_id, export_id))


@router.get(VISITOR + "/{export_id}/archive", response_class=StreamingResponse, responses=_ZIP)
async def download_visitor_export(
    chatbot_id: UUID,
    visitor_id: UUID,
    export_id: UUID,
    services: Services,
    chatter: ExportingChatter,
    origin: ChatterOrigin,
) -> StreamingResponse:
    export = await _of_visitor(services, chatter, chatbot_id, visitor_id, export_id)
    return await _download(services, export, origin)


async def _request(
    services: GatewayServices, tenant_id: TenantId, kind: ExportKind, subject: UUID, origin: Origin
) -> ExportModel:
    async with tenant_tx(services.db, tenant_id) as tx:
        export = await Exports(tx).request(tenant_id, kind, subject, requester_of(origin))
        target, details = Target(kind.value, str(subject)), {"export_id": str(export.id)}
        await Audit(tx).append(tenant_id, origin, Action.DATA_EXPORT, target, details)
    return ExportModel.of(export)


async def _own(services: GatewayServices, principal: Principal, export_id: UUID) -> Export:
    """Raises NotFound, also for somebody else's."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        export = await Exports(tx).get(principal.tenant_id, export_id)
    # A person's own data are theirs alone, whoever may export the company's.
    own = export.kind is ExportKind.MEMBER
    if not (export.subject == principal.user_id if own else Permission.DATA_EXPORT in PERMISSIONS[principal.role]):
        raise NotFound("There is no such export.")
    return export


async def _of_visitor(
    services: GatewayServices, chatter: Chatter, chatbot_id: UUID, visitor_id: UUID, export_id: UUID
) -> Export:
    await require_visitor(services, chatter, chatbot_id, visitor_id)
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        export = await Exports(tx).get(chatter.tenant_id, export_id)
    if export.kind is not ExportKind.VISITOR or export.subject != visitor_id:
        raise NotFound("There is no such export.")
    return export


async def _download(services: GatewayServices, export: Export, origin: Origin) -> StreamingResponse:
    if export.state is not ExportState.DONE:
        raise NotFound("The archive is not made yet.")
    pieces = services.blobs.stream(export_key(export.tenant_id, export.id))
    first = await anext(pieces)  # what is missing is missing before the answer begins
    async with tenant_tx(services.db, export.tenant_id) as tx:
        target, details = Target(export.kind.value, str(export.subject)), {"export_id": str(export.id)}
        await Audit(tx).append(export.tenant_id, origin, Action.DATA_DOWNLOAD, target, details)

    async def whole() -> Any:
        yield first
        async for piece in pieces:
            yield piece

    name = f"{export.kind.value}-{export.id}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(export.size)}
    return StreamingResponse(whole(), media_type="application/zip", headers=headers)
