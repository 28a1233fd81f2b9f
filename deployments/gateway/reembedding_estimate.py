"""What embedding a bot's documents again would take, told by a few of them."""

import asyncio

from configs.tables import load_models
from deployments.gateway.generation_models import EstimateModel
from deployments.gateway.parsed_text import parsed_text
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices
from domain.chatbot import Chatbot
from domain.chunk_preview import beginning
from domain.chunking import cut
from domain.chunking_config import ChunkingConfig
from domain.documents import Document, ParsedDocument
from domain.errors import AppError
from storage.models.embedding import embedding_token_count
from storage.models.store import embedding_weights
from storage.postgres.database import tenant_tx
from storage.postgres.generations import Generations

SAMPLE = 6
SAMPLE_BYTES = 1024 * 1024
"""Of a document; larger ones would keep those who chat waiting."""
SAMPLE_CHARS = 100_000
_TOO_OFTEN = "Too many estimates; try again in a minute."


async def estimate(services: GatewayServices, bot: Chatbot, model: str, chunking: ChunkingConfig) -> EstimateModel:
    """Raises RateLimited."""
    await services.limits.require(Kind.PREVIEW, {"tenant": str(bot.tenant_id)}, _TOO_OFTEN)
    async with tenant_tx(services.db, bot.tenant_id) as tx:
        generations = Generations(tx, bot.tenant_id, bot.id)
        size = await generations.size(SAMPLE, SAMPLE_BYTES)
        rate = await generations.last_rate()
    sampled, old, new, tokens = 0, 0.0, 0, 0
    for document in size.sample:
        found = await _sampled(services, document, model, chunking)
        if found is not None:
            sampled, old, new, tokens = sampled + 1, old + found[0], new + found[1], tokens + found[2]
    chunks = round(size.chunks * new / old) if old else size.chunks
    total = round(size.chunks * tokens / old) if old else size.chunks * chunking.max_tokens
    price = load_models(services.settings.models_file).embedding_price(model)
    return EstimateModel(
        model=model,
        chunking=chunking,
        documents=size.documents,
        chunks=chunks,
        tokens=total,
        sampled=sampled,
        cost_micro=price.cost_micro(total),
        currency=price.currency,
        seconds=round(chunks / rate) if rate else None,
    )


async def _sampled(
    services: GatewayServices, document: Document, model: str, chunking: ChunkingConfig
) -> tuple[float, int, int] | None:
    """Present chunks of the beginning of the document, and the chunks and tokens that there would be."""
    try:
        parsed = await parsed_text(services, document)
    except AppError:
        return None  # nothing of it is kept, or it is just being erased
    part = beginning(parsed, SAMPLE_CHARS)
    if not part.text or not document.chunks:
        return None
    weights = embedding_weights(services.settings.with_embedding_model(model))
    async with services.preview_seat:
        chunks, tokens = await asyncio.to_thread(_cut, part, weights, chunking)
    return document.chunks * len(part.text) / len(parsed.text), chunks, tokens


def _cut(parsed: ParsedDocument, weights: str, chunking: ChunkingConfig) -> tuple[int, int]:
    count = embedding_token_count(weights)
    chunks = cut(parsed, count, chunking)
    return len(chunks), sum(count(chunk.text) for chunk in chunks)
