"""Documents by their address on the web: fetched through the one safe door, then taken as an upload is."""

from contextlib import closing
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from billing.entitlements import plan_of
from deployments.gateway.document_chunking import present_fingerprint
from deployments.gateway.document_details import DocumentDetails
from deployments.gateway.document_intake import media_type_of, notify_ingestion, store_document
from deployments.gateway.knowledge_routes import Writer
from deployments.gateway.models import Body, DocumentModel
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import Services
from deployments.gateway.upload import UploadedFile
from domain.ids import ChatbotId
from domain.text import clean_text
from domain.web_address import MAX_CHARS
from pipelines.sources.naming import FETCHED_TYPES, name_of
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx

router = APIRouter(tags=["knowledge"])


class FetchBody(Body):
    url: Annotated[str, AfterValidator(clean_text)] = Field(
        min_length=1, max_length=MAX_CHARS, description="A plain http or https address on the public web."
    )


@router.post("/knowledgebase/{chatbot_id}/fetch", status_code=202)
async def fetch_document(
    chatbot_id: UUID, body: FetchBody, services: Services, principal: Writer, origin: CurrentOrigin
) -> DocumentModel:
    """Read a file or page from the web, store it and queue it; content that the bot has already is the document it was.

    It is read once: a later change there does not come here.
    """
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = present_fingerprint(services.settings, await Chatbots(tx).get(tenant_id, bot))
        plan = await plan_of(tx, tenant_id)
    sentence = "Too many documents fetched from the web; try again in a minute."
    await services.limits.require(Kind.FETCH, {"tenant": str(tenant_id)}, sentence)
    limit = min(plan.limits.max_upload_bytes, services.settings.max_upload_bytes)
    async with services.fetcher.get(body.url, limit, FETCHED_TYPES) as fetched:
        file = UploadedFile(name_of(fetched), fetched.media_type)
        async for chunk in fetched.chunks:
            await file.write(chunk)
    with closing(file):
        media_type, about = media_type_of(file, 1), DocumentDetails(source=fetched.address.url)
        document, queued = await store_document(services, tenant_id, bot, file, media_type, origin, about)
    if queued:
        await notify_ingestion(services)
    return DocumentModel.of(document, present)
