"""The retrieval playground: what a question finds in a bot's documents, and what each stage made of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from deployments.gateway.chatbot_routes import merged_config
from deployments.gateway.principal import require
from deployments.gateway.retrieval_models import RetrievalModel, RetrieveBody
from deployments.gateway.services import Services
from domain.ids import ChatbotId
from domain.permissions import Permission
from domain.retrieval.result import RetrievalRequest
from domain.tenancy import Principal
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx

router = APIRouter(tags=["knowledge"])

Reader = Annotated[Principal, require(Permission.DOCUMENTS_READ)]


@router.post("/chatbots/{chatbot_id}/retrieve")
async def retrieve(chatbot_id: UUID, body: RetrieveBody, services: Services, principal: Reader) -> RetrievalModel:
    """Search as a turn would, with the bot's settings or with some of them changed; nothing is stored."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = await Chatbots(tx).get(tenant_id, bot)
    config = present.config
    if body.retrieval:
        config = merged_config(services, config, {"retrieval": body.retrieval})
    request = RetrievalRequest(tenant_id, bot, body.question, config.retrieval, body.messages, present.knowledge)
    return RetrievalModel.of(await services.conversations.retrieve(request))
