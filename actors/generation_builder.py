"""Builds generations of knowledge beside the live ones and keeps those in step that may become live again."""

from contextlib import aclosing
from dataclasses import replace

import structlog

from actors.document_ends import DocumentEnds
from actors.paid_embedding import Wish
from domain.errors import AppError
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.knowledge import GenerationState
from pipelines.compare_generations import compare_with_live
from pipelines.embed_pools import EmbedPools
from pipelines.ingest import ingest
from pipelines.work import EmbeddedDocument, FailedDocument, WorkItem
from storage.postgres.database import Database, system_tx
from storage.postgres.generation_work import ClaimedGeneration, GenerationWork, MissingDocument
from storage.postgres.tenant_keys import keys_of
from storage.vectors.store import VectorStore

log = structlog.get_logger()

EVERY_SECONDS = 1.0
BATCH_DOCUMENTS = 16
BATCH_BYTES = 16 * 1024 * 1024
"""Little, for what people upload meanwhile uses the same workers."""
MAX_ATTEMPTS = 4
MOST_GIVEN_UP = 3
"""So many in a row, and it is not the documents."""
PAUSES = (1.0, 5.0, 30.0, 120.0)
GAVE_UP = "The document could not be embedded again after several attempts."
BROKEN = "Documents could not be embedded again, one after the other; see what the platform's log says."


class GenerationBuilder:
    """One per platform, in the process that writes the vector tables.

    Each round takes a few documents of one generation; what it holds is in the database, so that a crash costs a round.
    Documents that are uploaded while a generation is kept are taken in like those of before.
    """

    def __init__(self, db: Database, vectors: VectorStore, pools: EmbedPools, ends: DocumentEnds) -> None:
        self._db = db
        self._vectors = vectors
        self._pools = pools
        self._ends = ends
        self._in_work: dict[DocumentId, tuple[TenantId, ChatbotId]] = {}
        self._pinned = False
        self._taken_in = 0

    def in_work(self, tenant_id: TenantId) -> list[tuple[ChatbotId, DocumentId]]:
        """Documents of the tenant that may still be written."""
        return [(bot, document) for document, (tenant, bot) in self._in_work.items() if tenant == tenant_id]

    @property
    def load(self) -> dict[str, int]:
        return {"embedded_again": self._taken_in, "embedding_again": len(self._in_work)}

    async def work(self) -> float | None:
        """One round; at once again when there was something to do."""
        async with system_tx(self._db) as tx:
            work = GenerationWork(tx)
            if not self._pinned:
                # From before models were kept.
                await work.pin_all(self._pools.model)
            claimed = await work.claim()
        self._pinned = True
        if claimed is None:
            return None
        try:
            pause = await self._round(claimed)
        except Exception as error:
            pause = PAUSES[min(claimed.attempts, len(PAUSES)) - 1]
            log.exception("generation.round_failed", **_names(claimed), attempt=claimed.attempts, error=repr(error))
            await self._settle(claimed, attempts=claimed.attempts, pause=pause)
            return None
        finally:
            self._in_work.clear()
        await self._settle(claimed, attempts=1 if pause else 0, pause=pause)
        return 0.0

    async def _round(self, claimed: ClaimedGeneration) -> float:
        """Seconds until the next one. Raises what keeps a whole round from its end."""
        if claimed.model not in self._pools.offered:
            return await self._not_offered(claimed)
        # What was in a round that did not end goes alone, lest it stop the others again.
        limit = BATCH_DOCUMENTS if claimed.attempts == 1 else 1
        async with system_tx(self._db) as tx:
            documents = await GenerationWork(tx).missing(claimed, limit, BATCH_BYTES)
        if not documents:
            await self._complete(claimed)
            return 0.0
        if claimed.attempts >= MAX_ATTEMPTS:
            return await self._give_up(claimed, documents[0])
        return await self._take_in(claimed, documents)

    async def _take_in(self, claimed: ClaimedGeneration, documents: list[MissingDocument]) -> float:
        self._in_work = {document.id: (claimed.tenant_id, claimed.chatbot_id) for document in documents}
        wishes = [Wish(claimed.tenant_id, claimed.chatbot_id, one.id, one.size) for one in documents]
        async with self._ends.affordable(wishes, claimed.model) as allowed:
            if allowed.refused:
                return await self._not_paid(claimed, next(iter(allowed.refused.values())))
            may = [document for document in documents if document.id in allowed.may]
            return await self._ingest(claimed, [await self._item(claimed, document) for document in may])

    async def _not_paid(self, claimed: ClaimedGeneration, reason: str) -> float:
        """A build ends; one that is kept in step goes on when there is a budget again."""
        log.info("generation.not_paid", **_names(claimed))
        if claimed.state is not GenerationState.BUILDING:
            return PAUSES[-1]
        async with system_tx(self._db) as tx:
            await GenerationWork(tx).fail(claimed, reason)
        return 0.0

    async def _ingest(self, claimed: ClaimedGeneration, items: list[WorkItem]) -> float:
        interrupted, sizing = 0, self._pools.sizing(claimed.model)
        with self._pools.use(claimed.model) as pool:
            async with aclosing(ingest(items, sizing, pool, self._vectors)) as results:
                async for result in results:
                    document_id = result.item.document_id
                    if isinstance(result, EmbeddedDocument):
                        chunks, chunked_with = len(result.chunks), result.chunked_with
                        await self._add(claimed, document_id, chunks=chunks, chunked_with=chunked_with)
                        await self._ends.bill(result, claimed.model)
                    elif isinstance(result, FailedDocument):
                        await self._add(claimed, document_id, reason=result.reason)
                    else:
                        interrupted += 1
                        log.warning("generation.interrupted", **_names(claimed), reason=result.reason)
        if interrupted == len(items):
            raise RuntimeError("no document of the round could be written")
        await self._vectors.optimize(claimed.tenant_id, claimed.chatbot_id, generation=claimed.generation)
        return PAUSES[0] if interrupted else 0.0

    async def _add(
        self,
        claimed: ClaimedGeneration,
        document_id: DocumentId,
        *,
        chunks: int | None = None,
        chunked_with: str | None = None,
        reason: str | None = None,
    ) -> None:
        place = claimed.tenant_id, claimed.chatbot_id
        async with system_tx(self._db) as tx:
            work = GenerationWork(tx)
            wanted = await work.add(claimed, document_id, chunks=chunks, chunked_with=chunked_with, reason=reason)
            exists = await work.document_exists(claimed.tenant_id, document_id)
            bot = await work.live(*place)
        if wanted:
            self._taken_in += 1
            return
        if bot is not None and exists:
            # The generation was cancelled: its table goes when the upkeep comes to it.
            return
        # What the deletion of the document, or of the bot, removed has just been written again.
        await self._ends.forget(*place, [document_id], whole_bot=bot is None)

    async def _complete(self, claimed: ClaimedGeneration) -> None:
        """The build has every document: compare it, and let it be switched to."""
        if claimed.state is not GenerationState.BUILDING:
            return
        comparison = await compare_with_live(self._db, self._vectors, self._pools, claimed)
        async with system_tx(self._db) as tx:
            finished = await GenerationWork(tx).finish(claimed, comparison)
        if finished:
            log.info("generation.ready", **_names(claimed), questions=comparison.questions)

    async def _give_up(self, claimed: ClaimedGeneration, document: MissingDocument) -> float:
        """The document has no further chance; after several in a row the build has none."""
        await self._add(claimed, document.id, reason=GAVE_UP)
        async with system_tx(self._db) as tx:
            work = GenerationWork(tx)
            if await work.all_gave_up(claimed, GAVE_UP, MOST_GIVEN_UP):
                await work.fail(claimed, BROKEN)
        return 0.0

    async def _not_offered(self, claimed: ClaimedGeneration) -> float:
        if claimed.state is GenerationState.BUILDING:
            async with system_tx(self._db) as tx:
                reason = f"This platform does not have the embedding model {claimed.model} any more."
                await GenerationWork(tx).fail(claimed, reason)
            return 0.0
        return PAUSES[-1]

    async def _item(self, claimed: ClaimedGeneration, document: MissingDocument) -> WorkItem:
        """With the keys of the document's files. Raises Erased, Unavailable."""
        item = WorkItem(
            claimed.tenant_id,
            claimed.chatbot_id,
            document.id,
            document.name,
            document.media_type,
            chunking=claimed.chunking.model_dump_json(),
            generation=claimed.generation,
            again="yes",
        )
        if document.sealed_version is None:
            return item
        cipher = await keys_of(self._db, item.tenant_id)
        return replace(item, keys=cipher.for_document(item.document_id).dumps())

    async def _settle(self, claimed: ClaimedGeneration, *, attempts: int, pause: float) -> None:
        try:
            async with system_tx(self._db) as tx:
                await GenerationWork(tx).settle(claimed, attempts=attempts, pause=pause)
        except AppError as error:
            # The next claim counts a round more, which is true.
            log.warning("generation.not_settled", **_names(claimed), error=repr(error))


def _names(claimed: ClaimedGeneration) -> dict[str, str | int]:
    return {
        "tenant_id": str(claimed.tenant_id),
        "chatbot_id": str(claimed.chatbot_id),
        "generation": claimed.generation,
    }
