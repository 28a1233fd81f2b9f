"""`loquent ingest --dry-run`: documents, chunks, tokens and cost of what would be ingested, with nothing stored."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from cluster.embedded.process import SetupError
from cluster.ingestion.client import KnowledgeClient
from configs.settings import Settings
from configs.tables import EmbeddingPrice, load_models
from domain.chunking import cut
from domain.chunking_config import ChunkingConfig
from domain.documents import IngestionFailure
from pipelines.parse_stage import NO_TEXT
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.sandbox import parse
from pipelines.sources.found import Source, SourceFailure, SourceItem
from storage.models.embedding import embedding_model_path, embedding_token_count
from storage.models.window import embedding_window

GROUP = 50
AT_ONCE = 2
SHOWN_FAILURES = 20


@dataclass(slots=True)
class Estimate:
    """What would be done."""

    found: int = 0
    unchanged: int = 0
    """Known to the platform already, so not counted below; the same content twice is counted once."""
    documents: int = 0
    bytes: int = 0
    chunks: int = 0
    tokens: int = 0
    """Of all chunks, overlaps counted twice, as they are embedded."""
    cost_micro: int = 0
    currency: str = "usd"
    failures: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "failures": [{"name": name, "reason": reason} for name, reason in self.failures]}


@dataclass(frozen=True, slots=True)
class Cutting:
    """How documents are cut, and what embedding them costs."""

    count: Callable[[str], int]
    chunking: ChunkingConfig
    price: EmbeddingPrice


async def estimate(source: Source, client: KnowledgeClient, cutting: Cutting, console: Console) -> Estimate:
    """Parses everything that the platform does not have, in limited processes. Raises SetupError."""
    found = Estimate(currency=cutting.price.currency)
    items: list[SourceItem] = []
    seen: set[str] = set()
    with console.status("Reading …") as status:
        try:
            async with aclosing(source.items()) as stream:
                async for item in stream:
                    if isinstance(item, SourceFailure):
                        found.failures.append((item.source, item.reason))
                    elif isinstance(item, SourceItem):
                        found.found += 1
                        _keep_once(item, items, seen)
                    if len(items) == GROUP:
                        await _take(items, client, cutting, found)
                        status.update(f"{found.found:,} documents, {found.chunks:,} chunks …")
            await _take(items, client, cutting, found)
        finally:
            for item in items:
                item.content.close()
    found.cost_micro = cutting.price.cost_micro(found.tokens)
    return found


def _keep_once(item: SourceItem, items: list[SourceItem], seen: set[str]) -> None:
    if item.content.content_hash in seen:
        item.content.close()
        return
    seen.add(item.content.content_hash)
    items.append(item)


async def _take(items: list[SourceItem], client: KnowledgeClient, cutting: Cutting, found: Estimate) -> None:
    """Count the items, close them and empty the list."""
    if not items:
        return
    known = await client.known([item.content.content_hash for item in items], None)
    places = asyncio.Semaphore(AT_ONCE)

    async def count(item: SourceItem) -> None:
        async with places:
            with item:
                if item.content.content_hash in known:
                    found.unchanged += 1
                else:
                    await _count(item, cutting, found)

    await asyncio.gather(*(count(item) for item in items))
    items.clear()


async def _count(item: SourceItem, cutting: Cutting, found: Estimate) -> None:
    data = await item.content.read()
    try:
        parsed = await asyncio.to_thread(parse, data, item.name, item.media_type, ParseLimits())
        chunks = await asyncio.to_thread(lambda: cut(parsed, cutting.count, cutting.chunking))
        if not chunks:
            raise IngestionFailure(NO_TEXT)
        tokens = await asyncio.to_thread(lambda: sum(cutting.count(one.text) for one in chunks))
    except IngestionFailure as failure:
        found.failures.append((item.source, str(failure)))
        return
    found.documents += 1
    found.bytes += len(data)
    found.chunks += len(chunks)
    found.tokens += tokens


def show(found: Estimate, console: Console) -> None:
    cost = f"{found.cost_micro / 1_000_000:,.4f} {found.currency}" if found.cost_micro else "nothing"
    console.print(
        f"{found.documents:,} documents to ingest, {found.chunks:,} chunks, {found.tokens:,} tokens; embedding costs "
        f"{cost}. {found.unchanged:,} unchanged, {len(found.failures):,} would fail. Nothing was stored.",
        highlight=False,
    )
    for name, reason in found.failures[:SHOWN_FAILURES]:
        console.print(f"[red]✗[/red] {escape(name)}: {escape(reason)}", highlight=False)
    if (more := len(found.failures) - SHOWN_FAILURES) > 0:
        console.print(f"… and {more:,} more.", highlight=False)


async def cutting_for(settings: Settings, client: KnowledgeClient) -> Cutting:
    """As the bot cuts its documents, or as usual where that may not be read.

    Raises SetupError, also without the model's tokenizer here.
    """
    chunking = ChunkingConfig.model_validate(await client.chunking() or {})
    weights = embedding_model_path(settings)
    try:
        count = embedding_token_count(weights)
    except Exception as error:
        raise SetupError(f"The tokenizer of the embedding model is not on this machine ({weights}).") from error
    price = load_models(settings.models_file).embedding_price(settings.embedding_model)
    return Cutting(count, chunking.within(embedding_window(weights)), price)
