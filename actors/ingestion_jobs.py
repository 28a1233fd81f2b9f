"""Ingestion jobs at work: their progress is counted, and what a cancelled one leaves goes."""

import time

import structlog

from domain.events import EventKind
from domain.ids import JobId
from domain.jobs import Job, Pace
from storage.blobs import BlobStore, document_prefix
from storage.postgres.database import Database, system_tx
from storage.postgres.jobs import AllJobs
from storage.postgres.outbox import Outbox
from storage.vectors.store import VectorStore

log = structlog.get_logger()

EVERY_SECONDS = 1.0
SHARE = 0.05
"""Of the time, at most, that counting one job may take: a large one is counted less often."""
IDLE_SECONDS = 3_600.0
"""A job of uploads that gets nothing for so long is taken to have got all."""
LEFT_BATCH = 100
KEEP_DAYS = 90


class IngestionJobs:
    """`work` is called again and again."""

    def __init__(self, db: Database, vectors: VectorStore, blobs: BlobStore) -> None:
        self._db = db
        self._vectors = vectors
        self._blobs = blobs
        self._paces: dict[JobId, Pace] = {}
        self._due: dict[JobId, float] = {}

    async def work(self) -> float | None:
        """One round; at once again when there is more to remove."""
        async with system_tx(self._db) as tx:
            jobs = AllJobs(tx)
            await jobs.seal_idle(IDLE_SECONDS)
        removed = await self._remove_left()
        async with system_tx(self._db) as tx:
            going_on = await AllJobs(tx).going_on()
        for job in going_on:
            await self._refresh(job)
        for gone in self._due.keys() - {job.id for job in going_on}:
            self._paces.pop(gone, None)
            self._due.pop(gone, None)
        return 0.0 if removed == LEFT_BATCH else None

    async def expire(self) -> None:
        """Jobs that ended long ago are forgotten; their documents are not."""
        async with system_tx(self._db) as tx:
            await AllJobs(tx).expire(KEEP_DAYS)

    async def _refresh(self, job: Job) -> None:
        began = time.monotonic()
        if began < self._due.get(job.id, 0.0):
            return
        pace = self._paces.setdefault(job.id, Pace())
        speed = pace.note(began, job.ready + job.failed, job.chunks)
        async with system_tx(self._db) as tx:
            found = await AllJobs(tx).refresh(job, speed)
        self._due[job.id] = began + (time.monotonic() - began) / SHARE
        if found is not None and found.ended_at is not None:
            log.info("ingestion.job_ended", job=str(job.id), state=found.state, ready=found.ready, failed=found.failed)

    async def _remove_left(self) -> int:
        """Documents of cancelled jobs that nobody has begun leave the queue with all that there is of them."""
        async with system_tx(self._db) as tx:
            jobs = AllJobs(tx)
            left = await jobs.left_by_cancelled(LEFT_BATCH)
            for document in left:
                if document.attempts:
                    await self._vectors.remove_document(document.tenant_id, document.chatbot_id, document.id)
                # The row goes last: should this end here, it is found again.
                await self._blobs.delete_prefix(document_prefix(document.tenant_id, document.id))
                await jobs.remove_left(document)
                payload = {"chatbot_id": str(document.chatbot_id), "document_id": str(document.id)}
                aggregate = f"document:{document.id}"
                await Outbox(tx).append(document.tenant_id, EventKind.DOCUMENT_DELETED, aggregate, payload)
        return len(left)
