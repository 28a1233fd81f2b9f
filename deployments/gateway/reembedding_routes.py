"""Embedding a bot's documents again beside what answers: asked for, watched, switched to, and undone."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError

from deployments.gateway.document_intake import notify_ingestion
from deployments.gateway.erasure_models import requester_of
from deployments.gateway.generation_models import (
    EstimateModel,
    GenerationList,
    GenerationModel,
    ReembedBody,
    SwitchBody,
)
from deployments.gateway.knowledge_routes import Reader, Writer
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.reembedding_estimate import estimate
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Details, Origin, Target
from domain.chatbot import Chatbot
from domain.chunking_config import ChunkingConfig, ChunkingStrategy
from domain.ids import ChatbotId, TenantId
from domain.knowledge import GenerationState
from storage.models.store import embedding_weights
from storage.models.window import embedding_window
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.generations import Generations

router = APIRouter(tags=["knowledge"])

Number = Annotated[int, Path(ge=0, le=1_000_000_000)]
_SECONDS_OF_A_DAY = 86_400


@router.get("/knowledgebase/{chatbot_id}/reembed")
async def list_generations(chatbot_id: UUID, services: Services, principal: Reader) -> GenerationList:
    """The newest first; none for a bot whose documents were never embedded again."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live = (await Chatbots(tx).get(tenant_id, bot)).knowledge.generation
        found = await Generations(tx, tenant_id, bot).list_all()
    return GenerationList(live=live, items=[GenerationModel.of(generation) for generation in found])


@router.get("/knowledgebase/{chatbot_id}/reembed/estimate")
async def estimate_reembedding(
    chatbot_id: UUID,
    services: Services,
    principal: Reader,
    model: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    strategy: ChunkingStrategy | None = None,
    max_tokens: Annotated[int | None, Query(ge=32, le=8_192)] = None,
    overlap_tokens: Annotated[int | None, Query(ge=0, le=4_096)] = None,
) -> EstimateModel:
    """Chunks, tokens, cost and time of embedding all documents again, from a few of them. Nothing is stored."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = await Chatbots(tx).get(tenant_id, bot)
    given = {"strategy": strategy, "max_tokens": max_tokens, "overlap_tokens": overlap_tokens}
    changed = {name: value for name, value in given.items() if value is not None}
    try:
        chunking = ChunkingConfig.model_validate({**present.config.chunking.model_dump(), **changed})
    except ValueError:
        raise _invalid("overlap_tokens", "must be at most half of max_tokens") from None
    target = target_of(services, present, model, chunking)
    return await estimate(services, present, *target)


@router.post("/knowledgebase/{chatbot_id}/reembed", status_code=202)
async def reembed(
    chatbot_id: UUID, body: ReembedBody, services: Services, principal: Writer, origin: CurrentOrigin
) -> GenerationModel:
    """Build another generation beside the one that answers: all documents, cut and embedded as it is said here."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        present = await _locked(tx, tenant_id, bot)
        model, chunking = target_of(services, present, body.model, body.chunking)
        usual, requester = services.settings.embedding_model, requester_of(origin)
        generation = await Generations(tx, tenant_id, bot).request(present, usual, model, chunking, requester)
        await _tell(tx, tenant_id, bot, origin, Action.KNOWLEDGE_REEMBED, generation.generation)
    await notify_ingestion(services)
    return GenerationModel.of(generation)


@router.get("/knowledgebase/{chatbot_id}/reembed/{generation}")
async def get_generation(
    chatbot_id: UUID, generation: Number, services: Services, principal: Reader
) -> GenerationModel:
    """How far it is, and how it compares with the one that answers."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        return GenerationModel.of(await Generations(tx, tenant_id, bot).get(generation))


@router.post("/knowledgebase/{chatbot_id}/reembed/{generation}/cancel")
async def cancel_generation(
    chatbot_id: UUID, generation: Number, services: Services, principal: Writer, origin: CurrentOrigin
) -> GenerationModel:
    """End a build, or give up the way back to an earlier generation. Its table is removed."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await _locked(tx, tenant_id, bot)
        generations = Generations(tx, tenant_id, bot)
        await generations.give_up(generation)
        await _tell(tx, tenant_id, bot, origin, Action.KNOWLEDGE_CANCEL, generation)
        return GenerationModel.of(await generations.get(generation))


@router.post("/knowledgebase/{chatbot_id}/reembed/{generation}/switch")
async def switch_generation(
    chatbot_id: UUID,
    generation: Number,
    services: Services,
    principal: Writer,
    origin: CurrentOrigin,
    body: SwitchBody | None = None,
) -> GenerationModel:
    """Let it answer, for all questions from now on. The one before is kept for a while."""
    return await _switch(
        services,
        principal.tenant_id,
        ChatbotId(chatbot_id),
        origin,
        generation,
        accept_failures=body is not None and body.accept_failures,
    )


@router.post("/knowledgebase/{chatbot_id}/reembed/rollback")
async def roll_back(
    chatbot_id: UUID, services: Services, principal: Writer, origin: CurrentOrigin, body: SwitchBody | None = None
) -> GenerationModel:
    """Let the generation answer that did before; documents that came since are in it."""
    return await _switch(
        services,
        principal.tenant_id,
        ChatbotId(chatbot_id),
        origin,
        None,
        accept_failures=body is not None and body.accept_failures,
    )


def target_of(
    services: GatewayServices, present: Chatbot, model: str | None, chunking: ChunkingConfig | None
) -> tuple[str, ChunkingConfig]:
    """The model and chunking to build with. Raises RequestValidationError for a model that the platform has not, and
    for chunks that it would not read to their end."""
    settings = services.settings
    model = model or present.knowledge.model or settings.embedding_model
    if model not in settings.offered_embedding_models:
        offered = ", ".join(settings.offered_embedding_models)
        raise _invalid("model", f"there is no embedding model named {model!r}; there are: {offered}")
    window = embedding_window(embedding_weights(settings.with_embedding_model(model)))
    if chunking is None:
        # The bot's own may be for a model that reads more.
        return model, present.config.chunking.within(window)
    if chunking.within(window) != chunking:
        raise _invalid("chunking", f"the embedding model reads {window} tokens")
    return model, chunking


async def _switch(
    services: GatewayServices,
    tenant_id: TenantId,
    bot: ChatbotId,
    origin: Origin,
    generation: int | None,
    *,
    accept_failures: bool,
) -> GenerationModel:
    keep = services.settings.knowledge_keep_days * _SECONDS_OF_A_DAY
    async with tenant_tx(services.db, tenant_id) as tx:
        present = await _locked(tx, tenant_id, bot)
        generations = Generations(tx, tenant_id, bot)
        back = generation is None
        number = await generations.previous() if generation is None else generation
        if (await generations.get(number)).state is GenerationState.RETIRED:
            back = True
        await generations.switch(present, number, keep, accept_failures=accept_failures)
        action = Action.KNOWLEDGE_ROLLBACK if back else Action.KNOWLEDGE_SWITCH
        await _tell(tx, tenant_id, bot, origin, action, number, present.knowledge.generation)
        found = await generations.get(number)
    # What could not be taken in is queued.
    await notify_ingestion(services)
    return GenerationModel.of(found)


async def _locked(tx: Transaction, tenant_id: TenantId, bot: ChatbotId) -> Chatbot:
    """Raises NotFound."""
    chatbots = Chatbots(tx)
    await chatbots.lock(tenant_id, bot)
    return await chatbots.get(tenant_id, bot)


async def _tell(
    tx: Transaction,
    tenant_id: TenantId,
    bot: ChatbotId,
    origin: Origin,
    action: Action,
    generation: int,
    before: int | None = None,
) -> None:
    details: Details = {"generation": generation} | ({} if before is None else {"before": before})
    await Audit(tx).append(tenant_id, origin, action, Target("chatbot", str(bot)), details)


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": (field,), "msg": message, "type": "value_error"}])
