"""Documents of a chatbot: upload, list, change, delete."""

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response

from billing.entitlements import plan_of
from deployments.gateway.document_chunking import present_fingerprint
from deployments.gateway.document_details import DocumentDetails, FilterOfQuery
from deployments.gateway.document_intake import media_type_of, notify_ingestion, store_document, store_for_job
from deployments.gateway.erasure_models import gone, requester_of
from deployments.gateway.models import DocumentChange, DocumentModel, DocumentPage, Limit, UploadModel
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from deployments.gateway.upload import Upload
from domain.audit import Action, Details, Target
from domain.documents import Document, DocumentStatus
from domain.erasure import ErasureKind
from domain.events import EventKind
from domain.ids import ChatbotId, DocumentId, JobId
from domain.permissions import Permission
from domain.tenancy import Principal
from pipelines.sources.naming import display_name
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.erased_rows import erase
from storage.postgres.jobs import Jobs
from storage.postgres.outbox import Outbox

log = structlog.get_logger()
router = APIRouter(tags=["knowledge"])

Reader = Annotated[Principal, require(Permission.DOCUMENTS_READ)]
Writer = Annotated[Principal, require(Permission.DOCUMENTS_WRITE)]

MULTIPART = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "metadata": {"type": "string", "description": "JSON: what is said about all of the files."},
                        "source": {"type": "string", "description": "The address or path that they come from."},
                    },
                }
            }
        },
    }
}


@router.post("/knowledgebase/{chatbot_id}/upload", status_code=202, openapi_extra=MULTIPART)
async def upload_documents(
    chatbot_id: UUID,
    request: Request,
    services: Services,
    principal: Writer,
    origin: CurrentOrigin,
    job: Annotated[UUID | None, Query(description="A job of uploads that the files belong to.")] = None,
) -> UploadModel:
    """Store the files and queue them; a file that the bot has already is the document it was.

    All are checked before any is stored. In a job each stands for itself: one that is refused is a failure of the job.
    """
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = present_fingerprint(services.settings, await Chatbots(tx).get(tenant_id, bot))
        plan = await plan_of(tx, tenant_id)
        if job:
            await Jobs(tx, tenant_id).join(bot, JobId(job))
    limit = min(plan.limits.max_upload_bytes, services.settings.max_upload_bytes)
    upload = Upload(request, limit)
    if job:
        return await store_for_job(services, tenant_id, bot, JobId(job), upload, origin, present)
    async with upload as files:
        about = DocumentDetails.of_form(upload.fields)
        media_types = [media_type_of(file, len(files)) for file in files]
        stored = [
            await store_document(services, tenant_id, bot, file, media_type, origin, about)
            for file, media_type in zip(files, media_types, strict=True)
        ]
    if any(queued for _, queued in stored):
        await notify_ingestion(services)
    return UploadModel(documents=[DocumentModel.of(document, present) for document, _ in stored])


@router.get("/knowledgebase/{chatbot_id}/documents")
async def list_documents(
    chatbot_id: UUID,
    services: Services,
    principal: Reader,
    chosen: FilterOfQuery,
    status: DocumentStatus | None = None,
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> DocumentPage:
    """Newest first; those for which everything holds that is given."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = present_fingerprint(services.settings, await Chatbots(tx).get(tenant_id, bot))
        found = await Documents(tx).list_page(tenant_id, bot, limit + 1, cursor, status=status, chosen=chosen)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return DocumentPage(items=[DocumentModel.of(document, present) for document in found[:limit]], next_cursor=more)


@router.get("/knowledgebase/{chatbot_id}/documents/{document_id}")
async def get_document(chatbot_id: UUID, document_id: UUID, services: Services, principal: Reader) -> DocumentModel:
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        document = await Documents(tx).get(tenant_id, bot, DocumentId(document_id))
        present = present_fingerprint(services.settings, await Chatbots(tx).get(tenant_id, bot))
    return DocumentModel.of(document, present)


@router.patch("/knowledgebase/{chatbot_id}/documents/{document_id}")
async def change_document(
    chatbot_id: UUID,
    document_id: UUID,
    body: DocumentChange,
    services: Services,
    principal: Writer,
    origin: CurrentOrigin,
) -> DocumentModel:
    """Change the fields that are given."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    name = None if body.name is None else display_name(body.name)
    async with tenant_tx(services.db, tenant_id) as tx:
        document = await Documents(tx).update_details(
            tenant_id, bot, DocumentId(document_id), name=name, metadata=body.metadata
        )
        if name is not None:
            await Outbox(tx).append(
                tenant_id, EventKind.DOCUMENT_RENAMED, f"document:{document.id}", _payload(document)
            )
        # Which fields, not what they say.
        details: Details = {**_details(document), "fields": sorted(body.model_fields_set)}
        target = Target("document", str(document.id))
        await Audit(tx).append(tenant_id, origin, Action.DOCUMENT_UPDATE, target, details)
        present = present_fingerprint(services.settings, await Chatbots(tx).get(tenant_id, bot))
    return DocumentModel.of(document, present)


@router.delete("/knowledgebase/{chatbot_id}/documents/{document_id}", status_code=204)
async def delete_document(
    chatbot_id: UUID, document_id: UUID, services: Services, principal: Writer, origin: CurrentOrigin
) -> Response:
    """It is gone from the list at once; its chunks and files follow. `Location` names the erasure."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        document = await Documents(tx).get(tenant_id, bot, DocumentId(document_id))
        erasure = await erase(tx, tenant_id, ErasureKind.DOCUMENT, document.id, requester_of(origin), bot)
        await Outbox(tx).append(tenant_id, EventKind.DOCUMENT_DELETED, f"document:{document.id}", _payload(document))
        target = Target("document", str(document.id))
        await Audit(tx).append(tenant_id, origin, Action.DOCUMENT_DELETE, target, _details(document))
    return gone(erasure)


def _payload(document: Document) -> dict[str, str]:
    return {"chatbot_id": str(document.chatbot_id), "document_id": str(document.id)}


def _details(document: Document) -> dict[str, str | int | bool | list[str] | None]:
    # Without its name, which may say anything and stays in the log when the document is erased.
    return {"chatbot_id": str(document.chatbot_id), "size": document.size}
