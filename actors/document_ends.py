"""How a document's ingestion ends: its row, its jobs and its event change together, and nothing of a lost one stays."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from actors.paid_embedding import Allowed, PaidEmbedding, Wish
from actors.renaming import Renaming
from domain.documents import DocumentStatus
from domain.erasure import ErasureKind
from domain.errors import NotFound
from domain.events import EventKind
from domain.ids import ChatbotId, DocumentId, TenantId, TurnId, new_uuid
from domain.jobs import ItemState
from domain.metering import Tally, UseKind
from pipelines.work import EmbeddedDocument, WorkItem
from storage.blobs import BlobStore, document_prefix
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, Transaction, system_tx, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.erased_rows import erase
from storage.postgres.generations import Generations
from storage.postgres.jobs import Jobs
from storage.postgres.ledger import Ledger
from storage.postgres.outbox import Outbox
from storage.vectors.store import VectorStore


class DocumentEnds:
    def __init__(
        self,
        db: Database,
        vectors: VectorStore,
        blobs: BlobStore,
        paid: PaidEmbedding | None = None,
    ) -> None:
        """Without `paid` embedding costs nothing."""
        self._db = db
        self._paid = paid
        self._vectors = vectors
        self._blobs = blobs
        self.renaming = Renaming(db, vectors)

    @asynccontextmanager
    async def affordable(self, wishes: Sequence[Wish], model: str) -> AsyncIterator[Allowed]:
        """Which of the documents may be embedded with the model now, as long as the context is open. The budget is held
        for them; raises Unavailable when nobody can say."""
        if self._paid is None:
            yield Allowed({wish.document_id for wish in wishes})
            return
        async with self._paid.hold(wishes, model) as allowed:
            yield allowed

    async def finish(self, result: EmbeddedDocument) -> None:
        """Its chunks are committed: it is ready, unless it was deleted meanwhile."""
        item, bill = result.item, self._bill_of(result)
        async with system_tx(self._db) as tx:
            documents = Documents(tx)
            live = await Generations(tx, item.tenant_id, item.chatbot_id).live_held()
            if live is not None and live.generation != item.generation:
                # Another generation has become live meanwhile: what is ready must be in that one.
                if await documents.requeue(item.tenant_id, item.document_id):
                    return
                name = None
            else:
                name = await documents.mark_ready(
                    item.tenant_id,
                    item.document_id,
                    result.pages,
                    len(result.chunks),
                    language=result.language,
                    chunked_with=result.chunked_with,
                    notice=result.notice,
                    recognition=result.recognition,
                )
            if name is not None:
                jobs = Jobs(tx, item.tenant_id)
                await jobs.document_ended(item.document_id, ItemState.READY, chunks=len(result.chunks))
                await _tell(tx, item, DocumentStatus.READY)
                await _replace(tx, jobs, item)
                await self._book(tx, result, bill)
        if name is not None:
            await self._tell_spent(result, bill)
        if name not in (None, item.name):
            # It was renamed meanwhile.
            await self.renaming.rename(item.tenant_id, item.chatbot_id, item.document_id)
        if name is None:
            # What its deletion removed has just been written again.
            await self.forget(item.tenant_id, item.chatbot_id, [item.document_id], whole_bot=live is None)

    async def bill(self, result: EmbeddedDocument, model: str) -> None:
        """Book what embedding it again with the model was."""
        bill = self._bill_of(result, model)
        if bill is not None:
            async with system_tx(self._db) as tx:
                await self._book(tx, result, bill)
            await self._tell_spent(result, bill)

    def _bill_of(self, result: EmbeddedDocument, model: str = "") -> tuple[TurnId, Tally] | None:
        """With the id of its entry in the ledger; None where it costs nothing. The usual model has no name."""
        if self._paid is None:
            return None
        return TurnId(new_uuid()), self._paid.tally([chunk.text for chunk in result.chunks], model)

    async def _book(self, tx: Transaction, result: EmbeddedDocument, bill: tuple[TurnId, Tally] | None) -> None:
        if bill is not None:
            item, (entry, tally) = result.item, bill
            place = item.tenant_id, item.chatbot_id, UseKind.INGESTION, tally
            await Ledger(tx).record_beside(*place, turn_id=entry)

    async def _tell_spent(self, result: EmbeddedDocument, bill: tuple[TurnId, Tally] | None) -> None:
        """The tenant's live actor counts it from now on."""
        if bill is not None and self._paid is not None:
            entry, tally = bill
            await self._paid.spent(result.item.tenant_id, result.item.chatbot_id, tally, entry)

    async def fail(self, item: WorkItem, reason: str, *, attempts: int) -> None:
        """It ends without a chunk; `reason` is a sentence for the user."""
        if attempts > 1:
            # An earlier attempt may have ended between its commit and the change of its row.
            await self._vectors.remove_document(item.tenant_id, item.chatbot_id, item.document_id)
        async with system_tx(self._db) as tx:
            if await Documents(tx).mark_failed(item.tenant_id, item.document_id, reason):
                await Jobs(tx, item.tenant_id).document_ended(item.document_id, ItemState.FAILED, reason=reason)
                await _tell(tx, item, DocumentStatus.FAILED)

    async def forget(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, documents: list[DocumentId], *, whole_bot: bool
    ) -> None:
        """Remove the chunks and files of documents, or the whole table of a bot with the files that it had."""
        if whole_bot:
            await self._vectors.remove_chatbot(tenant_id, chatbot_id)
        else:
            for document in documents:
                await self._vectors.remove_document(tenant_id, chatbot_id, document)
            await self._vectors.purge(tenant_id, chatbot_id)
            # Answers from between the deletion and now may cite them.
            async with tenant_tx(self._db, tenant_id) as tx:
                await Chatbots(tx).knowledge_changed(tenant_id, chatbot_id)
        for document in documents:
            await self._blobs.delete_prefix(document_prefix(tenant_id, document))


async def _replace(tx: Transaction, jobs: Jobs, item: WorkItem) -> None:
    """Erase the earlier versions whose place the document takes; from here on nobody finds both."""
    for earlier, requested_by in await jobs.replaced_by(item.document_id):
        try:
            await erase(tx, item.tenant_id, ErasureKind.DOCUMENT, UUID(str(earlier)), requested_by)
        except NotFound:
            continue
        payload = {"chatbot_id": str(item.chatbot_id), "document_id": str(earlier)}
        await Outbox(tx).append(item.tenant_id, EventKind.DOCUMENT_DELETED, f"document:{earlier}", payload)


async def _tell(tx: Transaction, item: WorkItem, status: DocumentStatus) -> None:
    await Outbox(tx).append(
        item.tenant_id,
        EventKind.DOCUMENT_CHANGED,
        f"document:{item.document_id}",
        {"document_id": str(item.document_id), "chatbot_id": str(item.chatbot_id), "status": status},
    )
