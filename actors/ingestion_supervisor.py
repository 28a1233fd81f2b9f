"""The ingestion supervisor: claims queued documents, runs the pipeline, erases; the one writer of vector tables."""

import asyncio
import time
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from uuid import UUID

import structlog

from actors.eraser import EVERY_SECONDS, Eraser, open_tools
from actors.exporter import EXPIRE_SECONDS, Exporter
from actors.loops import repeat, run_until_closed
from configs.settings import Settings
from domain.documents import DocumentStatus
from domain.events import EventKind
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.embed_stage import EmbedPool
from pipelines.ingest import ingest
from pipelines.retention import expire
from pipelines.work import EmbeddedDocument, FailedDocument, WorkItem, ingest_sizing
from storage.blobs import BlobStore, document_prefix
from storage.keys import Vault
from storage.postgres.database import Database, system_tx
from storage.postgres.documents import ClaimedDocument, Documents
from storage.postgres.outbox import Outbox
from storage.postgres.tenant_keys import keys_of
from storage.receipts import ReceiptSigner
from storage.vectors.store import VectorStore

log = structlog.get_logger()

RUNS = 2
"""Runs at the same time: a small upload need not wait for the end of somebody's large one."""
BATCH_DOCUMENTS = 32
BATCH_BYTES = 32 * 1024 * 1024
MAX_ATTEMPTS = 3
POLL_SECONDS = 2.0
WARM_SECONDS = 900.0
"""How long embed workers stay after the last document, with their model in memory."""
RETENTION_SECONDS = 86_400.0
GAVE_UP = "The document could not be processed after several attempts."


class IngestionSupervisor:
    """One per platform, named and detached. `start` opens everything; a restart takes up what was in work."""

    def __init__(self, settings: Settings, database_urls: tuple[str, str]) -> None:
        self._settings = settings
        self._sizing = ingest_sizing(settings)
        self._database_urls = database_urls
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(RUNS)
        self._runs: set[asyncio.Task[None]] = set()
        self._unsettled: dict[DocumentId, ClaimedDocument] = {}
        """Documents that a run left without a result: back into the queue, as soon as the database can be reached."""
        self._in_work: dict[DocumentId, ClaimedDocument] = {}
        """What may still be written to a vector table."""
        self._pool: EmbedPool | None = None
        self._last_work = time.monotonic()

    async def start(self) -> None:
        """Open everything and begin; harmless when it runs already. Raises RuntimeError when the loop has ended."""
        async with self._starting:
            if self._loop is None:
                vault = Vault.of(self._settings)
                self._db = await Database.open(*self._database_urls, vault=vault, min_size=0, max_size=4)
                self._stack.push_async_callback(self._db.close)
                self._vectors = VectorStore(self._sizing.objects_url)
                self._blobs = BlobStore(self._sizing.objects_url)
                tools = open_tools(
                    self._stack, self._settings, self._db, self._vectors, self._blobs, self._documents_in_work
                )
                eraser = Eraser(tools, ReceiptSigner(self._settings.secret_key.get_secret_value()))
                exporter = Exporter(self._db, self._blobs)
                run_until_closed(
                    self._stack,
                    repeat("eraser", eraser.work, EVERY_SECONDS),
                    repeat("retention", self._expire, RETENTION_SECONDS),
                    repeat("exporter", exporter.work, EVERY_SECONDS),
                    repeat("export-expiry", exporter.expire, EXPIRE_SECONDS),
                )
                self._loop = asyncio.create_task(self._work())
            elif self._loop.done():
                raise RuntimeError("the ingestion loop has ended")

    async def notify(self) -> None:
        """Documents wait: look now rather than at the next poll."""
        self._wake.set()

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
        if document_id:
            await self._vectors.remove_document(tenant, chatbot, gone[0])
            await self._vectors.purge(tenant, chatbot)
        else:
            await self._vectors.remove_chatbot(tenant, chatbot)
        for document in gone:
            await self._blobs.delete_prefix(document_prefix(tenant, document))

    async def health(self) -> dict[str, int | bool]:
        """Load, for `loquent status`."""
        return {"runs": len(self._runs), "unsettled": len(self._unsettled), "warm": self._pool is not None}

    async def close(self) -> None:
        """Stop; documents in work are taken up again by the next start."""
        tasks = [task for task in (self._loop, *self._runs) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._close_pool()
        await self._stack.aclose()

    async def _work(self) -> None:
        recovered = False
        while True:
            claimed: list[ClaimedDocument] = []
            await self._slots.acquire()
            self._wake.clear()
            try:
                if not recovered:
                    await self._recover()
                    recovered = True
                await self._settle_left()
                async with system_tx(self._db) as tx:
                    claimed = await Documents(tx).claim_batch(BATCH_DOCUMENTS, BATCH_BYTES)
            except Exception as error:  # noqa: BLE001 - the loop must outlive a database that is away
                log.warning("ingestion.round_failed", error=repr(error))
            if claimed:
                self._in_work |= {one.document.id: one for one in claimed}
                run = asyncio.create_task(self._run(claimed))
                self._runs.add(run)
                run.add_done_callback(self._run_ended)
                continue
            self._slots.release()
            if not self._runs and time.monotonic() - self._last_work > WARM_SECONDS:
                self._close_pool()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _expire(self) -> None:
        await expire(self._db)

    def _documents_in_work(self, tenant_id: TenantId) -> list[tuple[ChatbotId, DocumentId]]:
        found = (claimed.document for claimed in self._in_work.values())
        return [(document.chatbot_id, document.id) for document in found if document.tenant_id == tenant_id]

    def _run_ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        self._slots.release()
        self._last_work = time.monotonic()
        if self._unsettled:
            self._wake.set()

    async def _recover(self) -> None:
        """What an earlier process had in work is in work no more."""
        async with system_tx(self._db) as tx:
            for orphan in await Documents(tx).orphans():
                self._unsettled[orphan.document.id] = orphan

    async def _settle_left(self) -> None:
        """Queue again what has no result, or give it up after the last attempt."""
        for claimed in list(self._unsettled.values()):
            document = claimed.document
            if claimed.attempts >= MAX_ATTEMPTS:
                await self._fail(FailedDocument(_item(claimed), GAVE_UP), attempts=claimed.attempts)
            else:
                async with system_tx(self._db) as tx:
                    await Documents(tx).requeue(document.tenant_id, document.id)
            del self._unsettled[document.id]

    async def _run(self, claimed: list[ClaimedDocument]) -> None:
        """A document that was in a broken run goes alone, lest it break the runs of others again."""
        first = [one for one in claimed if one.attempts == 1]
        again = [[one] for one in claimed if one.attempts > 1]
        for group in [first, *again] if first else again:
            await self._ingest({one.document.id: one for one in group})

    async def _ingest(self, claimed: dict[DocumentId, ClaimedDocument]) -> None:
        if self._pool is None:
            self._pool = EmbedPool.open(self._sizing)
        left = dict(claimed)
        try:
            items = [await self._sealed_item(one) for one in claimed.values()]
            async with aclosing(ingest(items, self._sizing, self._pool, self._vectors)) as results:
                async for result in results:
                    document_id = result.item.document_id
                    if isinstance(result, EmbeddedDocument):
                        await self._finish(result)
                    else:
                        await self._fail(result, attempts=left[document_id].attempts)
                    del left[document_id]
            for tenant_id, chatbot_id in {(item.tenant_id, item.chatbot_id) for item in items}:
                await self._vectors.optimize(tenant_id, chatbot_id)
        except Exception as error:
            log.exception("ingestion.run_failed", documents=len(claimed), left=len(left), error=repr(error))
        finally:
            self._unsettled |= left
            for document_id in claimed:
                self._in_work.pop(document_id, None)

    async def _finish(self, result: EmbeddedDocument) -> None:
        item = result.item
        async with system_tx(self._db) as tx:
            documents = Documents(tx)
            kept = await documents.mark_ready(item.tenant_id, item.document_id, result.pages, len(result.chunks))
            if kept:
                await _tell(Outbox(tx), item, DocumentStatus.READY)
            bot_exists = await documents.chatbot_exists(item.tenant_id, item.chatbot_id)
        if not kept:
            # It was deleted meanwhile, and what its deletion removed has just been written again.
            await self.forget(
                str(item.tenant_id),
                str(item.chatbot_id),
                str(item.document_id) if bot_exists else None,
                [str(item.document_id)],
            )

    async def _fail(self, result: FailedDocument, *, attempts: int) -> None:
        item = result.item
        if attempts > 1:
            # An earlier attempt may have ended between its commit and the change of its row.
            await self._vectors.remove_document(item.tenant_id, item.chatbot_id, item.document_id)
        async with system_tx(self._db) as tx:
            if await Documents(tx).mark_failed(item.tenant_id, item.document_id, result.reason):
                await _tell(Outbox(tx), item, DocumentStatus.FAILED)

    async def _sealed_item(self, claimed: ClaimedDocument) -> WorkItem:
        """With the keys of the document's files. Raises Erased, Unavailable."""
        item = _item(claimed)
        if claimed.document.sealed_version is None:
            return item
        cipher = await keys_of(self._db, item.tenant_id)
        return replace(item, keys=cipher.for_document(item.document_id).dumps())

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _item(claimed: ClaimedDocument) -> WorkItem:
    document = claimed.document
    return WorkItem(document.tenant_id, document.chatbot_id, document.id, document.name, document.media_type)


async def _tell(outbox: Outbox, item: WorkItem, status: DocumentStatus) -> None:
    await outbox.append(
        item.tenant_id,
        EventKind.DOCUMENT_CHANGED,
        f"document:{item.document_id}",
        {"document_id": str(item.document_id), "chatbot_id": str(item.chatbot_id), "status": status},
    )
