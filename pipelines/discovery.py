"""Reads the sources of ingestion jobs into the queue: sites, feeds and buckets that the platform reaches by itself."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import TypeAdapter

from billing.entitlements import plan_of
from configs.settings import Settings
from domain.audit import ActorKind, Origin
from domain.errors import AppError, NotFound, PaymentRequired
from domain.jobs import Job
from domain.sealing import source_place
from domain.sources import SourceSpec
from pipelines.queueing import queue_document
from pipelines.sources.found import Found, Known, SourceFailure, SourceItem, SourceLimits, SourceUnchanged
from pipelines.sources.opening import open_source
from storage.blobs import BlobStore
from storage.postgres.database import Database, tenant_tx
from storage.postgres.jobs import JobEnded, Jobs
from storage.postgres.tenant_keys import keys_of
from storage.web import SafeFetcher

_SPEC: TypeAdapter[SourceSpec] = TypeAdapter(SourceSpec)


class Discovery:
    """What it finds is in the queue at once, so that a large source is searchable piece by piece."""

    def __init__(
        self, db: Database, blobs: BlobStore, settings: Settings, fetcher: SafeFetcher, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when documents wait."""
        self._db = db
        self._blobs = blobs
        self._settings = settings
        self._fetcher = fetcher
        self._wake = wake

    async def read(self, job: Job) -> str | None:
        """None when the source was read to its end, or the job has ended meanwhile; else a sentence why it was not.

        May be repeated from the beginning: what is in the queue already stays one document. Raises what databases and
        stores raise; the source itself raises nothing.
        """
        try:
            async with tenant_tx(self._db, job.tenant_id) as tx:
                plan = await plan_of(tx, job.tenant_id)
                before = await Jobs(tx, job.tenant_id).fetched_before(job.chatbot_id)
            limits = SourceLimits(max_bytes=min(plan.limits.max_upload_bytes, self._settings.max_upload_bytes))
            known = {row["source"]: Known(row["etag"], row["last_modified"]) for row in before}
            source = open_source(await self._spec(job), self._fetcher, limits, known)
            async with aclosing(source.items()) as items:
                await self._take_all(job, items)
        except (JobEnded, NotFound):
            return None  # It was cancelled, or deleted with its chatbot.
        except PaymentRequired as error:
            return error.message
        return None

    async def _spec(self, job: Job) -> SourceSpec:
        async with tenant_tx(self._db, job.tenant_id) as tx:
            sealed = await Jobs(tx, job.tenant_id).sealed_source(job.id)
        fields: Mapping[str, Any] = job.source
        if sealed is not None:
            cipher = await keys_of(self._db, job.tenant_id)
            fields = json.loads(cipher.open_text(source_place(job.id), sealed))
        return _SPEC.validate_python(fields)

    async def _take_all(self, job: Job, items: AsyncGenerator[Found, None]) -> None:
        async for item in items:
            match item:
                case SourceItem():
                    with item:
                        await self._take(job, item)
                case SourceFailure():
                    await self._fail(job, item.key or item.source, item.source, item.reason)
                case SourceUnchanged():
                    async with tenant_tx(self._db, job.tenant_id) as tx:
                        jobs = Jobs(tx, job.tenant_id)
                        await jobs.join(job.chatbot_id, job.id)
                        await jobs.add_unchanged_source(job.chatbot_id, job.id, item.source)

    async def _take(self, job: Job, item: SourceItem) -> None:
        try:
            _, queued = await queue_document(
                self._db,
                self._blobs,
                job.tenant_id,
                job.chatbot_id,
                item.name,
                item.media_type,
                item.content,
                _origin(job),
                metadata=dict(item.metadata),
                source=item.source,
                job_id=job.id,
            )
        except (JobEnded, NotFound, PaymentRequired):
            raise
        except AppError as error:
            if error.status >= 500:
                raise
            await self._fail(job, item.key, item.source, error.message)
            return
        if queued:
            self._wake()

    async def _fail(self, job: Job, place: str, name: str, reason: str) -> None:
        async with tenant_tx(self._db, job.tenant_id) as tx:
            jobs = Jobs(tx, job.tenant_id)
            await jobs.join(job.chatbot_id, job.id)
            await jobs.add_failure(job.id, place, name, reason)


def _origin(job: Job) -> Origin:
    kind, _, identifier = job.requested_by.partition(":")
    return Origin(ActorKind(kind), identifier)
