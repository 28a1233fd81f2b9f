"""A preview of chunks: how a document, a text or a file would be cut, by the bot's settings or by others."""

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from fastapi import APIRouter, Request

from deployments.gateway.document_chunking import check_chunking, window_of
from deployments.gateway.document_details import chunking_of_form
from deployments.gateway.document_intake import media_type_of
from deployments.gateway.knowledge_routes import Writer
from deployments.gateway.parsed_text import parsed_text
from deployments.gateway.passage_models import MAX_TEXT, ChunkPreviewModel, PreviewBody
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.upload import Upload
from domain.chatbot import Chatbot
from domain.chunk_preview import beginning, preview
from domain.chunking_config import ChunkingConfig
from domain.documents import Document, IngestionFailure, ParsedDocument
from domain.errors import Unprocessable
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.registry import TEXT
from pipelines.parsing.sandbox import parse
from storage.models.embedding import embedding_token_count
from storage.models.encoder_spec import embedding_model_path
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.documents import Documents

router = APIRouter(tags=["knowledge"])
T = TypeVar("T")

MAX_FILE_BYTES = 2 * 1024 * 1024
LIMITS = ParseLimits(cpu_seconds=10, wall_seconds=20.0, output_bytes=8 * 1024 * 1024)
"""A preview answers somebody who waits, in a process that serves conversations."""
_TOO_OFTEN = "Too many previews; try again in a minute."
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "maxItems": 1, "items": {"type": "string", "format": "binary"}},
                        "chunking": {"type": "string", "description": "JSON: settings in place of the bot's own."},
                    },
                }
            }
        },
    }
}


@router.post("/knowledgebase/{chatbot_id}/chunk-preview")
async def preview_chunks(
    chatbot_id: UUID, body: PreviewBody, services: Services, principal: Writer
) -> ChunkPreviewModel:
    """How a document of the bot, or a plain text, would be cut. Nothing is stored."""
    bot, document = await _prepare(services, principal.tenant_id, chatbot_id, body.document_id)
    if document is not None:
        parsed = await parsed_text(services, document)
    else:
        parsed = await _parsed(services, (body.text or "").encode(), "text", TEXT)
    return await _preview(services, parsed, body.chunking or bot.config.chunking)


@router.post("/knowledgebase/{chatbot_id}/chunk-preview/file", openapi_extra=_FORM)
async def preview_file(chatbot_id: UUID, request: Request, services: Services, principal: Writer) -> ChunkPreviewModel:
    """How a file of up to 2 MiB would be read and cut. Nothing is stored."""
    bot, _ = await _prepare(services, principal.tenant_id, chatbot_id, None)
    upload = Upload(request, min(MAX_FILE_BYTES, services.settings.max_upload_bytes))
    async with upload as files:
        if len(files) > 1:
            raise Unprocessable("Send one file.")
        [file] = files
        chunking = chunking_of_form(upload.fields)
        parsed = await _parsed(services, await file.read(), file.name, media_type_of(file, 1))
    return await _preview(services, parsed, chunking or bot.config.chunking)


async def _prepare(
    services: GatewayServices, tenant_id: TenantId, chatbot_id: UUID, document_id: UUID | None
) -> tuple[Chatbot, Document | None]:
    """Raises NotFound, RateLimited."""
    document = None
    async with tenant_tx(services.db, tenant_id) as tx:
        bot = await Chatbots(tx).get(tenant_id, ChatbotId(chatbot_id))
        if document_id is not None:
            document = await Documents(tx).get(tenant_id, bot.id, DocumentId(document_id))
    await services.limits.require(Kind.PREVIEW, {"tenant": str(tenant_id)}, _TOO_OFTEN)
    return bot, document


async def _parsed(services: GatewayServices, data: bytes, name: str, media_type: str) -> ParsedDocument:
    """Raises Unprocessable with the reason that ingestion would give."""
    try:
        return await _alone(services, lambda: parse(data, name, media_type, LIMITS))
    except IngestionFailure as failure:
        raise Unprocessable(str(failure)) from None


async def _preview(services: GatewayServices, parsed: ParsedDocument, chunking: ChunkingConfig) -> ChunkPreviewModel:
    check_chunking(services.settings, chunking)
    window = window_of(services.settings)

    def made() -> ChunkPreviewModel:
        count = embedding_token_count(embedding_model_path(services.settings))
        part = beginning(parsed, MAX_TEXT)
        return ChunkPreviewModel.of(preview(part, count, chunking), chunking, window, parsed, len(part.text))

    return await _alone(services, made)


async def _alone(services: GatewayServices, work: Callable[[], T]) -> T:
    """In a thread, one at a time in this process: conversations have the processor first."""
    async with services.preview_seat:
        return await asyncio.to_thread(work)
