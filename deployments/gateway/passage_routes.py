"""What documents say: a passage in its surroundings, the text page by page, and the passage behind a citation."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from deployments.gateway.knowledge_routes import Reader
from deployments.gateway.parsed_text import parsed_text
from deployments.gateway.passage_models import PassageModel, TextModel
from deployments.gateway.principal import ReadingChatter
from deployments.gateway.services import GatewayServices, Services
from domain.conversation import Citation
from domain.documents import Document, ParsedDocument
from domain.errors import InvalidInput, NotFound
from domain.ids import ChatbotId, DocumentId, MessageId, SessionId, TenantId
from domain.surroundings import Surroundings, located, page_span, surroundings
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.messages import Messages
from storage.postgres.sessions import Sessions

router = APIRouter(tags=["knowledge"])

AROUND_CHARS = 600
MAX_CHARS = 20_000
_NO_PASSAGE = "The document has no such passage."
_NO_PAGE = "The document has no text on this page."
_CHANGED = "The document was read anew since, and does not hold the passage any more."

Around = Annotated[int, Query(ge=0, le=5_000, description="Characters before and after it.")]


@router.get("/knowledgebase/{chatbot_id}/documents/{document_id}/passage")
async def get_passage(
    chatbot_id: UUID,
    document_id: UUID,
    services: Services,
    principal: Reader,
    start: Annotated[int, Query(ge=0)],
    end: Annotated[int, Query(ge=1)],
    around: Around = AROUND_CHARS,
) -> PassageModel:
    """The parsed text from `start` to `end`, in characters, with a little around it."""
    if not 0 < end - start <= MAX_CHARS:
        raise InvalidInput(f"`end` must be after `start`, by at most {MAX_CHARS:,} characters.")
    document, parsed = await _read(services, principal.tenant_id, chatbot_id, document_id)
    found = await asyncio.to_thread(surroundings, parsed, start, end, around)
    if found is None:
        raise NotFound(_NO_PASSAGE)
    return PassageModel.of(document, parsed, found)


@router.get("/knowledgebase/{chatbot_id}/documents/{document_id}/text")
async def get_text(
    chatbot_id: UUID,
    document_id: UUID,
    services: Services,
    principal: Reader,
    start: Annotated[int | None, Query(ge=0, description="0 when it is left out, or where the page begins.")] = None,
    page: Annotated[int | None, Query(ge=1, description="Of a document that has pages; only its text comes.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_CHARS)] = 5_000,
) -> TextModel:
    """The parsed text, up to `limit` characters of it, with the places of its blocks."""
    document, parsed = await _read(services, principal.tenant_id, chatbot_id, document_id)
    low, high = 0, len(parsed.text)
    if page is not None:
        span = page_span(parsed, page)
        if span is None:
            raise NotFound(_NO_PAGE)
        low, high = span
    first = low if start is None else start
    if not low <= first < high:
        raise NotFound(_NO_PASSAGE)
    return await asyncio.to_thread(TextModel.of, document, parsed, first, min(high, first + limit))


@router.get("/chatbots/{chatbot_id}/sessions/{session_id}/messages/{message_id}/citations/{position}", tags=["chat"])
async def get_citation(
    chatbot_id: UUID,
    session_id: UUID,
    message_id: UUID,
    position: Annotated[int, Path(ge=1, le=100)],
    services: Services,
    chatter: ReadingChatter,
    around: Around = AROUND_CHARS,
) -> PassageModel:
    """The passage that an answer cites, exactly, where it stands in the document now.

    A visitor sees what stands around it where the bot's `visitor_sources` says so, and otherwise the citation alone.
    """
    tenant_id, bot_id = chatter.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        session = await Sessions(tx).get_for(chatter, SessionId(session_id), bot_id)
        citation = await Messages(tx).citation(tenant_id, session.id, MessageId(message_id), position)
        document = await Documents(tx).get(tenant_id, bot_id, citation.document_id)
        bot = await Chatbots(tx).get(tenant_id, bot_id)
    parsed = await parsed_text(services, document)
    if chatter.visitor_id is not None and bot.config.visitor_sources == "snippet":
        around = 0
    found = await asyncio.to_thread(_cited, parsed, citation, around)
    if found is None:
        raise NotFound(_CHANGED)
    return PassageModel.of(document, parsed, found)


def _cited(parsed: ParsedDocument, citation: Citation, around: int) -> Surroundings | None:
    start = located(parsed, citation.start, citation.snippet)
    return None if start is None else surroundings(parsed, start, start + len(citation.snippet), around)


async def _read(
    services: GatewayServices, tenant_id: TenantId, chatbot_id: UUID, document_id: UUID
) -> tuple[Document, ParsedDocument]:
    async with tenant_tx(services.db, tenant_id) as tx:
        document = await Documents(tx).get(tenant_id, ChatbotId(chatbot_id), DocumentId(document_id))
    return document, await parsed_text(services, document)
