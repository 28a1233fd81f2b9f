"""Ingestion jobs at work: their sources are read, their progress is counted, and what a cancelled one leaves goes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from actors.loops import require_running
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
READERS = 2
"""Sources that are read at the same time."""
MAX_ATTEMPTS = 3
IDLE_SECONDS = 3_600.0
"""A job of uploads that gets nothing for so long is taken to have got all."""
LEFT_BATCH = 100
KEEP_DAYS = 90
GAVE_UP = "The source could not be read after several attempts."

Discover = Callable[[Job], Awaitable[str | None]]
"""Reads a job's source into the queue; a sentence when it could not be read to its end, none when it was."""


class IngestionJobs:
    """`work` is called again and again; `close` ends what it began."""

    def __init__(
        self, db: Database, vectors: VectorStore, blobs: BlobStore, discover: Discover, wake: Callable[[], None]
    ) -> None:
        self._db = db
        self._vectors = vectors
        self._blobs = blobs
        self._discover = discover
        self._wake = wake
        self._paces: dict[JobId, Pace] = {}
        self._due: dict[JobId, float] = {}
        self._reading: dict[JobId, asyncio.Task[None]] = {}
        self._recovered = False

    async def work(self) -> float | None:
        """One round; at once again when there is more to remove."""
        async with system_tx(self._db) as tx:
            jobs = AllJobs(tx)
            if not self._recovered:
                await jobs.give_all_back(MAX_ATTEMPTS, GAVE_UP)
                self._recovered = True
            await jobs.seal_idle(IDLE_SECONDS)
        removed = await self._remove_left()
        await self._begin_reading()
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

    async def close(self) -> None:
        """Sources that were being read are begun again by the next start."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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

    async def _begin_reading(self) -> None:
        while len(self._reading) < READERS:
            async with system_tx(self._db) as tx:
                job = await AllJobs(tx).claim_source()
            if job is None:
                return
            self._reading[job.id] = asyncio.create_task(self._read(job))

    async def _read(self, job: Job) -> None:
        try:
            await self._read_source(job)
        finally:
            self._reading.pop(job.id, None)

    async def _read_source(self, job: Job) -> None:
        try:
            reason = await self._discover(job)
        except Exception as error:
            log.exception("ingestion.source_failed", job=str(job.id), kind=job.kind, error=repr(error))
            async with system_tx(self._db) as tx:
                await AllJobs(tx).give_back(job, MAX_ATTEMPTS, GAVE_UP)
            return
        require_running()
        async with system_tx(self._db) as tx:
            await AllJobs(tx).source_read(job, reason)
        self._wake()
