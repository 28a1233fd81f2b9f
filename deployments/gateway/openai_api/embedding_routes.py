"""`/v1/embeddings`: vectors of the model that a chatbot's documents are searched with."""

import asyncio
import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from configs.tables import load_models
from deployments.gateway.openai_api.chat_routes import chatbot_of
from deployments.gateway.openai_api.models import EmbeddingsBody
from deployments.gateway.principal import require
from deployments.gateway.services import GatewayServices, Services
from domain.generation import Usage
from domain.ids import ChatbotId, TenantId, TurnId, new_uuid
from domain.metering import CallKind, ModelCall, Tally, UseKind
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.models.embedding import embedding_model_path, embedding_token_count
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.ledger import Ledger

router = APIRouter(tags=["openai"], prefix="/v1")
Asker = Annotated[Principal, require(Permission.CONVERSATIONS_REPLY)]


@router.post("/embeddings", response_model=None)
async def embed(body: EmbeddingsBody, services: Services, principal: Asker) -> JSONResponse:
    """One unit vector for each text; what is longer than the model's window is cut off."""
    tenant_id, bot = principal.tenant_id, chatbot_of(body.model)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
    count = await asyncio.to_thread(embedding_token_count, embedding_model_path(services.settings))
    tokens = sum(count(text) for text in body.texts)
    vectors = await _metered(services, tenant_id, bot, body.texts, tokens)
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
        for index, vector in enumerate(np.asarray(vectors, dtype=np.float32))
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})


async def _metered(
    services: GatewayServices, tenant_id: TenantId, bot: ChatbotId, texts: list[str], tokens: int
) -> list[list[float]]:
    """Raises QuotaExceeded before anything is embedded; what was embedded is in the ledger before it is returned."""
    model = services.settings.embedding_model
    table = load_models(services.settings.models_file)
    async with services.purse.grant(tenant_id, bot, tokens, price=table.embedding_price(model).highest):
        vectors = await services.embed(texts)
        tally, entry = Tally(), TurnId(new_uuid())
        tally.add(table.priced(ModelCall(CallKind.EMBEDDING, "", model, Usage(embedded_tokens=tokens))))
        async with tenant_tx(services.db, tenant_id) as tx:
            await Ledger(tx).record_beside(tenant_id, bot, UseKind.EMBEDDING, tally, turn_id=entry)
        await services.purse.spend(tenant_id, bot, tally, entry)
    return vectors


def _encoded(vector: Any, encoding: str) -> list[float] | str:
    """Little-endian float32 in base64, as client libraries ask for."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector.tolist()
