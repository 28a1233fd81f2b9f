"""The prompt preview: what a model would be told, part by part, and what would be left out."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from deployments.gateway.chatbot_routes import merged_config
from deployments.gateway.principal import require
from deployments.gateway.prompt_models import PromptPreviewBody, PromptPreviewModel
from deployments.gateway.services import Services
from domain.ids import ChatbotId, new_uuid
from domain.permissions import Permission, check
from domain.prompt import Conversation, fit_prompt
from domain.prompting.audience import Audience, checked_attributes
from domain.retrieval.result import RetrievalRequest
from domain.tenancy import Principal
from storage.models.tokenizer import load_token_counter, load_window
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.drafts import Drafts

router = APIRouter(tags=["chatbots"])

Reader = Annotated[Principal, require(Permission.DOCUMENTS_READ)]


@router.post("/chatbots/{chatbot_id}/prompt-preview")
async def preview_prompt(
    chatbot_id: UUID, body: PromptPreviewBody, services: Services, principal: Reader
) -> PromptPreviewModel:
    """What a turn would send to the model, with the bot's settings, its draft's, or some of them changed; no model is
    asked and nothing is stored. The checks of guardrails are left out."""
    check(principal.role, Permission.CHATBOTS_READ, principal.scopes)
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = await Chatbots(tx).get(tenant_id, bot)
        config = (await Drafts(tx, tenant_id, bot).get()).config if body.draft else present.config
    if body.config:
        config = merged_config(services, config, body.config)
    attributes = checked_attributes(body.attributes)
    settings = services.settings
    model = settings.default_model if config.model == "default" else config.model
    # The first time it reads a file.
    counter = await asyncio.to_thread(load_token_counter, settings, model)
    window = load_window(settings, model, counter)
    retrieval = await services.conversations.retrieve(
        RetrievalRequest(tenant_id, bot, body.question, config.retrieval, body.messages, present.knowledge)
    )
    prompt = fit_prompt(
        config,
        retrieval.passages,
        Conversation(body.messages, body.summary),
        body.question,
        counter,
        window,
        new_uuid().hex[-16:] if config.guardrails.data_marking else "",
        Audience(present.name, body.locale, attributes),
    )
    return PromptPreviewModel.of(config, model, prompt, retrieval, window, exact=counter.exact)
