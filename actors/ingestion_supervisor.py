"""The ingestion supervisor: runs the pipeline, keeps jobs going, erases, exports; the one writer of vector tables."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

from actors.document_ends import DocumentEnds
from actors.eraser import EVERY_SECONDS, Eraser, open_tools
from actors.exporter import EXPIRE_SECONDS, Exporter
from actors.generation_builder import EVERY_SECONDS as BUILD_SECONDS
from actors.generation_builder import GenerationBuilder
from actors.ingestion_jobs import EVERY_SECONDS as JOBS_SECONDS
from actors.ingestion_jobs import IngestionJobs
from actors.ingestion_runs import IngestionRuns
from actors.knowledge_upkeep import EVERY_SECONDS as UPKEEP_SECONDS
from actors.knowledge_upkeep import KnowledgeUpkeep
from actors.loops import repeat, run_until_closed
from actors.paid_embedding import PaidEmbedding
from actors.purse import HostPurse
from actors.remote_embedding import RemoteEmbedding
from configs.settings import Settings
from configs.tables import load_models
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.web_address import networks_of
from pipelines.discovery import Discovery
from pipelines.embed_pools import EmbedPools
from pipelines.retention import expire
from pipelines.work import ingest_sizing
from storage.blobs import BlobStore
from storage.keys import Vault
from storage.postgres.database import Database
from storage.receipts import ReceiptSigner
from storage.vectors.store import VectorStore
from storage.web import SafeFetcher

RETENTION_SECONDS = 86_400.0


class IngestionSupervisor:
    """One per platform, named and detached. `start` opens everything; a restart takes up what was in work."""

    def __init__(self, settings: Settings, database_urls: tuple[str, str]) -> None:
        self._settings = settings
        self._database_urls = database_urls
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._opened = False
        self._loop: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open everything without beginning; `start` does both. Harmless when it is open."""
        async with self._starting:
            if not self._opened:
                await self._open()
                self._opened = True

    async def start(self) -> None:
        """Open everything and begin; harmless when it runs already. Raises RuntimeError when the loop has ended."""
        await self.open()
        if self._loop is None:
            run_until_closed(self._stack, *self._background)
            self._loop = asyncio.create_task(self.runs.work())
        elif self._loop.done():
            raise RuntimeError("the ingestion loop has ended")

    async def notify(self) -> None:
        """Documents wait: look now rather than at the next poll."""
        if self._opened:
            self.runs.wake()

    async def forget(
        self,
        tenant_id: str,
        chatbot_id: str,
        document_id: str | None = None,
        document_ids: list[str] | None = None,
    ) -> None:
        """Remove the chunks and files of a document that was erased while it was in work, or with no `document_id`
        everything of a chatbot that was.

        `document_ids` are the documents that the chatbot had. May be repeated; raises ValueError for a wrong id.
        """
        await self.start()
        tenant, chatbot = TenantId(UUID(tenant_id)), ChatbotId(UUID(chatbot_id))
        gone = [DocumentId(UUID(one)) for one in ([document_id] if document_id else document_ids or [])]
        await self.ends.forget(tenant, chatbot, gone, whole_bot=document_id is None)

    async def rename(self, tenant_id: str, chatbot_id: str, document_id: str) -> None:
        """The document has another name. May be repeated; raises ValueError for a wrong id."""
        await self.start()
        tenant, chatbot = TenantId(UUID(tenant_id)), ChatbotId(UUID(chatbot_id))
        await self.ends.renaming.rename(tenant, chatbot, DocumentId(UUID(document_id)))

    async def health(self) -> dict[str, int | bool]:
        """Load, for `loquent status`."""
        return {**self.runs.load, **self.builder.load, **self.upkeep.load} if self._opened else {}

    async def close(self) -> None:
        """Stop; documents in work are taken up again by the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self._stack.aclose()

    async def _open(self) -> None:
        settings, sizing = self._settings, ingest_sizing(self._settings)
        db = await Database.open(*self._database_urls, vault=Vault.of(settings), min_size=0, max_size=4)
        self._stack.push_async_callback(db.close)
        vectors, blobs = VectorStore(sizing.objects_url), BlobStore(sizing.objects_url)
        self.ends = DocumentEnds(db, vectors, blobs, _paid(settings, self._stack))
        self.pools = EmbedPools(settings)
        self._stack.callback(self.pools.close)
        self.runs = IngestionRuns(db, vectors, self.pools, self.ends)
        self.builder = GenerationBuilder(db, vectors, self.pools, self.ends)
        self.upkeep = KnowledgeUpkeep(db, vectors, self._in_work)
        discovery = Discovery(db, blobs, settings, SafeFetcher(networks_of(settings.fetch_networks)), self.runs.wake)
        jobs = IngestionJobs(db, vectors, blobs, discovery.read, self.runs.wake)
        self._stack.push_async_callback(jobs.close)
        tools = open_tools(self._stack, settings, db, vectors, blobs, self._in_work)
        eraser = Eraser(tools, ReceiptSigner(settings.secret_key.get_secret_value()))
        exporter = Exporter(db, blobs)
        self._background = [
            repeat("eraser", eraser.work, EVERY_SECONDS),
            repeat("jobs", jobs.work, JOBS_SECONDS),
            repeat("jobs-expiry", jobs.expire, RETENTION_SECONDS),
            repeat("retention", partial(_expire, db), RETENTION_SECONDS),
            repeat("exporter", exporter.work, EVERY_SECONDS),
            repeat("export-expiry", exporter.expire, EXPIRE_SECONDS),
            repeat("generations", self.builder.work, BUILD_SECONDS),
            repeat("upkeep", self.upkeep.work, UPKEEP_SECONDS),
        ]

    def _in_work(self, tenant_id: TenantId) -> list[tuple[ChatbotId, DocumentId]]:
        """Documents of the tenant that may still be written to a table, whichever."""
        return [*self.runs.in_work(tenant_id), *self.builder.in_work(tenant_id)]


async def _expire(db: Database) -> None:
    await expire(db)


def _paid(settings: Settings, stack: AsyncExitStack) -> PaidEmbedding | None:
    """What embedding costs, where somebody asks money for it; the stack closes what asks for the budget."""
    remote = RemoteEmbedding.of(settings)
    if remote is None:
        return None
    table = load_models(settings.models_file)
    return PaidEmbedding(
        lambda texts, model: table.priced(remote.call(texts, model)),
        lambda model: table.embedding_price(model or settings.embedding_model).highest,
        HostPurse.within(stack, settings),
    )
