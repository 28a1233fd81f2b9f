"""Runs of the ingestion pipeline: queued documents are claimed in batches, and each ends, or waits once more."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import structlog
from ray.exceptions import RayError

from actors.document_ends import DocumentEnds
from actors.loops import require_running
from actors.paid_embedding import Wish
from domain.errors import AppError, StorageFull
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.embed_pools import EmbedPools
from pipelines.ingest import FEW_ITEMS, ingest
from pipelines.work import EmbeddedDocument, FailedDocument, WorkItem
from storage.full_disk import is_full
from storage.postgres.database import Database, system_tx
from storage.postgres.documents import ClaimedDocument, Documents
from storage.postgres.generation_work import GenerationWork
from storage.postgres.tenant_keys import keys_of
from storage.vectors.store import VectorStore

log = structlog.get_logger()

MAX_ATTEMPTS = 3
POLL_SECONDS = 2.0
WARM_SECONDS = 900.0
"""How long embed workers stay after the last document, with their model in memory."""
GAVE_UP = "The document could not be processed after several attempts."
NO_WORKER = "The processes that work on documents ended again and again while this one was among theirs."


@dataclass(frozen=True, slots=True)
class Lane:
    """What one run may take; a lane has one run at a time."""

    documents: int
    bytes: int
    largest: int | None = None
    """Bytes of a document; larger ones are not taken."""


LANES = (Lane(128, 64 * 1024 * 1024), Lane(FEW_ITEMS, 512 * 1024, 256 * 1024))
"""The second one has short runs only: a small upload does not wait for the end of somebody's large one. The first has
long ones: the start of each takes seconds of the processor."""


class IngestionRuns:
    """Works the queue off until cancelled. A document in work is a row `processing`, which a restart takes up again."""

    def __init__(self, db: Database, vectors: VectorStore, pools: EmbedPools, ends: DocumentEnds) -> None:
        self._db = db
        self._vectors = vectors
        self._pools = pools
        self._ends = ends
        self._wakes = [asyncio.Event() for _ in LANES]
        self._first = asyncio.Lock()
        self._recovered = False
        self._unsettled: dict[DocumentId, tuple[ClaimedDocument, str]] = {}
        """Documents that a run left without a result, and why: back into the queue once the database can be reached."""
        self._in_work: dict[DocumentId, ClaimedDocument] = {}
        """What may still be written to a vector table."""

    async def work(self) -> None:
        """Raises what no round expects, and then works no more."""
        await asyncio.gather(*(self._lane(lane, wake) for lane, wake in zip(LANES, self._wakes, strict=True)))

    def wake(self) -> None:
        """Documents wait: look now rather than at the next poll."""
        for wake in self._wakes:
            wake.set()

    def in_work(self, tenant_id: TenantId) -> list[tuple[ChatbotId, DocumentId]]:
        """Documents of the tenant that may still be written."""
        found = (claimed.document for claimed in self._in_work.values())
        return [(document.chatbot_id, document.id) for document in found if document.tenant_id == tenant_id]

    @property
    def load(self) -> dict[str, int | bool]:
        return {"in_work": len(self._in_work), "unsettled": len(self._unsettled), "warm": bool(self._pools.open)}

    async def _lane(self, lane: Lane, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            claimed = await self._claim(lane)
            if claimed:
                await self._run(claimed)
            else:
                self._pools.close_idle(WARM_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
            require_running()

    async def _claim(self, lane: Lane) -> list[ClaimedDocument]:
        try:
            async with self._first:
                if not self._recovered:
                    await self._recover()
                    self._recovered = True
                await self._settle_left()
            async with system_tx(self._db) as tx:
                claimed = await Documents(tx).claim_batch(lane.documents, lane.bytes, lane.largest)
                new = {(one.document.tenant_id, one.document.chatbot_id) for one in claimed if not one.knowledge.model}
                if new:
                    await GenerationWork(tx).pin(new, self._pools.model)
        except Exception as error:  # noqa: BLE001 - the loop must outlive a database that is away
            log.warning("ingestion.round_failed", error=repr(error))
            return []
        self._in_work |= {one.document.id: one for one in claimed}
        return claimed

    async def _recover(self) -> None:
        """What an earlier process had in work is in work no more."""
        async with system_tx(self._db) as tx:
            for orphan in await Documents(tx).orphans():
                self._unsettled[orphan.document.id] = (orphan, GAVE_UP)

    async def _settle_left(self) -> None:
        """Queue again what has no result, or give it up after the last attempt. What cannot be settled now is later."""
        for claimed, reason in list(self._unsettled.values()):
            document = claimed.document
            try:
                if claimed.attempts >= MAX_ATTEMPTS:
                    await self._ends.fail(_item(claimed), reason, attempts=claimed.attempts)
                else:
                    async with system_tx(self._db) as tx:
                        await Documents(tx).requeue(document.tenant_id, document.id)
            except Exception as error:  # noqa: BLE001 - one that cannot be cleaned up must not keep all others waiting
                log.warning("ingestion.not_settled", document_id=str(document.id), error=repr(error))
                continue
            del self._unsettled[document.id]

    async def _run(self, claimed: list[ClaimedDocument]) -> None:
        """A document that was in a broken run goes alone, lest it break the runs of others again."""
        groups: dict[str, list[ClaimedDocument]] = {}
        for one in claimed:
            # One run has one model.
            name = one.knowledge.model if one.attempts == 1 else str(one.document.id)
            groups.setdefault(name, []).append(one)
        for group in groups.values():
            await self._ingest({one.document.id: one for one in group}, group[0].knowledge.model)

    async def _ingest(self, claimed: dict[DocumentId, ClaimedDocument], model: str) -> None:
        left, reason = dict(claimed), GAVE_UP
        try:
            await self._ingest_all(claimed, left, model)
        except Exception as error:
            log.exception("ingestion.run_failed", documents=len(claimed), left=len(left), error=repr(error))
            reason = _why(error)
        finally:
            self._unsettled |= {key: (one, reason) for key, one in left.items()}
            for document_id in claimed:
                self._in_work.pop(document_id, None)
            if self._unsettled:
                self.wake()

    async def _ingest_all(
        self, claimed: dict[DocumentId, ClaimedDocument], left: dict[DocumentId, ClaimedDocument], model: str
    ) -> None:
        """Takes what has ended out of `left`. Raises what breaks the run."""
        waiting = [await self._sealed_item(one) for one in claimed.values()]
        while waiting:
            async with self._ends.affordable([_wish(claimed[one.document_id]) for one in waiting], model) as allowed:
                for item in waiting:
                    if (reason := allowed.refused.get(item.document_id)) is not None:
                        await self._ends.fail(item, reason, attempts=claimed[item.document_id].attempts)
                        del left[item.document_id]
                await self._ingest_some([one for one in waiting if one.document_id in allowed.may], left, model)
            ended = allowed.may | allowed.refused.keys()
            waiting = [one for one in waiting if one.document_id not in ended]

    async def _ingest_some(self, items: list[WorkItem], left: dict[DocumentId, ClaimedDocument], model: str) -> None:
        if not items:
            return
        sizing = self._pools.sizing(model)
        with self._pools.use(model) as pool:
            async with aclosing(ingest(items, sizing, pool, self._vectors)) as results:
                async for result in results:
                    one = left[result.item.document_id]
                    if isinstance(result, EmbeddedDocument):
                        await self._ends.finish(result)
                    elif isinstance(result, FailedDocument):
                        await self._ends.fail(result.item, result.reason, attempts=one.attempts)
                    else:
                        log.warning("ingestion.interrupted", document_id=str(one.document.id), reason=result.reason)
                        self._unsettled[one.document.id] = (one, result.reason)
                    del left[one.document.id]
        for tenant_id, chatbot_id, generation in {(one.tenant_id, one.chatbot_id, one.generation) for one in items}:
            await self._vectors.optimize(tenant_id, chatbot_id, generation=generation)

    async def _sealed_item(self, claimed: ClaimedDocument) -> WorkItem:
        """With the keys of the document's files. Raises Erased, Unavailable."""
        item = _item(claimed)
        if claimed.document.sealed_version is None:
            return item
        cipher = await keys_of(self._db, item.tenant_id)
        return replace(item, keys=cipher.for_document(item.document_id).dumps())


def _wish(claimed: ClaimedDocument) -> Wish:
    document = claimed.document
    return Wish(document.tenant_id, document.chatbot_id, document.id, document.size)


def _item(claimed: ClaimedDocument) -> WorkItem:
    document = claimed.document
    return WorkItem(
        document.tenant_id,
        document.chatbot_id,
        document.id,
        document.name,
        document.media_type,
        chunking=claimed.chunking,
        generation=claimed.knowledge.generation,
    )


def _why(error: Exception) -> str:
    """A sentence for the user, should there be no more attempts."""
    if isinstance(error, AppError):
        return error.message
    if is_full(error):
        return StorageFull.default
    return NO_WORKER if isinstance(error, RayError) else GAVE_UP
