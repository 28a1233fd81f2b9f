"""Files that come in over the API: recognised, stored and queued, for themselves or as part of a job."""

import structlog

from deployments.gateway.document_details import DocumentDetails
from deployments.gateway.models import DocumentModel, RefusedFile, UploadModel
from deployments.gateway.services import GatewayServices
from deployments.gateway.upload import Upload, UploadedFile
from domain.audit import Origin
from domain.documents import Document
from domain.errors import AppError, TooLarge
from domain.ids import ChatbotId, JobId, TenantId
from pipelines.parsing.detect import detect
from pipelines.queueing import queue_document
from storage.postgres.database import tenant_tx
from storage.postgres.jobs import Jobs

log = structlog.get_logger()


async def store_document(
    services: GatewayServices,
    tenant_id: TenantId,
    bot: ChatbotId,
    file: UploadedFile,
    media_type: str,
    origin: Origin,
    about: DocumentDetails,
    job_id: JobId | None = None,
) -> tuple[Document, bool]:
    """The document, and whether this call queued it; raises what `queue_document` raises."""
    return await queue_document(
        services.db,
        services.blobs,
        tenant_id,
        bot,
        file.name,
        media_type,
        file,
        origin,
        metadata=about.metadata,
        source=about.source,
        job_id=job_id,
    )


async def store_for_job(
    services: GatewayServices,
    tenant_id: TenantId,
    bot: ChatbotId,
    job_id: JobId,
    upload: Upload,
    origin: Origin,
    present: str,
) -> UploadModel:
    """Every file for itself: one whose kind is not supported is a failure of the job, and the others are stored.

    A file that is too large is written down as well, but the request ends there: raises TooLarge, and what
    `queue_document` raises. `present` is the fingerprint that documents of the bot would have now.
    """
    documents: list[Document] = []
    refused: list[RefusedFile] = []
    try:
        async with upload as files:
            about = DocumentDetails.of_form(upload.fields)
            for file in files:
                try:
                    media_type = media_type_of(file, 1)
                except AppError as error:
                    refused.append(RefusedFile(name=file.name, reason=error.message))
                    continue
                stored, _ = await store_document(services, tenant_id, bot, file, media_type, origin, about, job_id)
                documents.append(stored)
        await _note_refused(services, tenant_id, bot, job_id, refused, about.source)
    except TooLarge as error:
        if upload.present is not None:
            too_large = [RefusedFile(name=upload.present, reason=error.message)]
            await _note_refused(services, tenant_id, bot, job_id, too_large, None)
        raise
    await notify_ingestion(services)
    return UploadModel(documents=[DocumentModel.of(document, present) for document in documents], refused=refused)


async def _note_refused(
    services: GatewayServices,
    tenant_id: TenantId,
    bot: ChatbotId,
    job_id: JobId,
    refused: list[RefusedFile],
    source: str | None,
) -> None:
    if not refused:
        return
    async with tenant_tx(services.db, tenant_id) as tx:
        jobs = Jobs(tx, tenant_id)
        await jobs.join(bot, job_id)
        for one in refused:
            await jobs.add_failure(job_id, f"{source or ''}|{one.name}", one.name, one.reason)


def media_type_of(file: UploadedFile, files: int) -> str:
    """Raises UnsupportedMedia and Unprocessable; of several files the sentence names the one."""
    try:
        return detect(file.head, file.name, file.declared)
    except AppError as error:
        raise type(error)(f"{file.name}: {error.message}" if files > 1 else error.message) from None


async def notify_ingestion(services: GatewayServices) -> None:
    """Tell the supervisor that something waits; whatever becomes of it, the supervisor finds that out by itself."""
    try:
        await services.notify_ingestion()
    except Exception as error:  # noqa: BLE001 - the outbox and the supervisor's own poll find the documents as well
        log.warning("ingestion.not_notified", error=type(error).__name__)
