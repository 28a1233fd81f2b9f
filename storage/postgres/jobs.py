"""Ingestion jobs: what tenants see of them, and what the supervisor does with them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.errors import Conflict, NotFound, RateLimited
from domain.ids import ChatbotId, DocumentId, JobId, TenantId
from domain.jobs import UPLOAD, ItemState, Job, JobFailure, JobState
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("jobs")
MOST_OPEN = 50
"""Jobs of one tenant that go on at the same time."""


class JobEnded(Conflict):
    code, default = "job_ended", "This job takes no more documents."


@dataclass(frozen=True, slots=True)
class LeftDocument:
    """A document that a cancelled job leaves in the queue."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: DocumentId
    attempts: int
    """Above 0, something of it may have been written."""


class Jobs:
    """Of one tenant, within its transaction."""

    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def insert(
        self,
        chatbot_id: ChatbotId,
        job_id: JobId,
        name: str,
        source: dict[str, Any],
        requested_by: str,
        *,
        sealed: bytes | None = None,
        replaces: bool = False,
    ) -> Job:
        """A new job of a bot that exists; `source` has a `kind` and no secrets, `sealed` is it with them.

        Raises RateLimited when too many go on.
        """
        kind = str(source["kind"])
        row = await fetch_one(
            self._tx,
            _SQL["insert"],
            tenant_id=self._tenant,
            chatbot_id=chatbot_id,
            id=job_id,
            name=name,
            kind=kind,
            source=Jsonb(source),
            sealed_source=sealed,
            replaces=replaces,
            state=JobState.RUNNING if kind == UPLOAD else JobState.QUEUED,
            requested_by=requested_by,
            most=MOST_OPEN,
        )
        if row is None:
            raise RateLimited(f"{MOST_OPEN} jobs are going on; wait for one of them to end.", retry_after=30)
        return _job(row)

    async def get(self, chatbot_id: ChatbotId, job_id: JobId) -> Job:
        """Raises NotFound, also for another bot's job."""
        return _found(await self._one("get", chatbot_id, job_id))

    async def list_page(self, chatbot_id: ChatbotId, limit: int, before: UUID | None = None) -> list[Job]:
        """Up to `limit`, newest first, older than `before`."""
        rows = await fetch_all(
            self._tx, _SQL["list"], tenant_id=self._tenant, chatbot_id=chatbot_id, limit=limit, before=before
        )
        return [_job(row) for row in rows]

    async def join(self, chatbot_id: ChatbotId, job_id: JobId) -> None:
        """Keep the job open until the transaction ends. Raises NotFound, JobEnded."""
        if await self._one("lock_accepting", chatbot_id, job_id) is None:
            await self.get(chatbot_id, job_id)
            raise JobEnded

    async def add_document(self, job_id: JobId, document_id: DocumentId, *, queued: bool) -> None:
        """A document that this job has `queued`, or that the bot had; after `join`."""
        if queued:
            await execute(self._tx, _SQL["mark_bulk"], tenant_id=self._tenant, id=document_id)
        await self._add(job_id, [(document_id, ItemState.QUEUED if queued else ItemState.UNCHANGED)])

    async def add_failure(self, job_id: JobId, place: str, name: str, reason: str) -> None:
        """What was to be a document and cannot be one; `place` is where it came from. After `join`."""
        key = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
        values = ([key], [None], [name], [ItemState.FAILED.value], [reason])
        await self._insert_items(job_id, values)

    async def add_unchanged_source(self, chatbot_id: ChatbotId, job_id: JobId, source: str) -> None:
        """What a server says is as it was: the document of that source, if there is one. After `join`."""
        row = await fetch_one(
            self._tx, _SQL["known_source"], tenant_id=self._tenant, chatbot_id=chatbot_id, source=source
        )
        if row is not None:
            await self._add(job_id, [(DocumentId(row["id"]), ItemState.UNCHANGED)])

    async def fetched_before(self, chatbot_id: ChatbotId) -> list[DictRow]:
        """`source`, `etag` and `last_modified` of the bot's documents from the web, the newest of a source last."""
        return await fetch_all(self._tx, _SQL["fetched_before"], tenant_id=self._tenant, chatbot_id=chatbot_id)

    async def sealed_source(self, job_id: JobId) -> bytes | None:
        """The source with its secrets, where it has any."""
        row = await fetch_one(self._tx, _SQL["sealed_source"], tenant_id=self._tenant, id=job_id)
        return row["sealed_source"] if row else None

    async def add_known(self, chatbot_id: ChatbotId, hashes: Sequence[str], job_id: JobId | None) -> list[str]:
        """Which of these SHA-256 hashes the bot has content of, in their order; a job counts them as unchanged.

        Raises NotFound, JobEnded.
        """
        if job_id is not None:
            await self.join(chatbot_id, job_id)
        rows = await fetch_all(
            self._tx, _SQL["known_hashes"], tenant_id=self._tenant, chatbot_id=chatbot_id, hashes=list(hashes)
        )
        if job_id is not None and rows:
            await self._add(job_id, [(DocumentId(row["id"]), ItemState.UNCHANGED) for row in rows])
        known = {row["content_hash"] for row in rows}
        return [one for one in dict.fromkeys(hashes) if one in known]

    async def seal(self, chatbot_id: ChatbotId, job_id: JobId) -> Job:
        """Nothing more is handed over; may be repeated. Raises NotFound, Conflict for a job that reads by itself."""
        job = _found(await self._one("lock", chatbot_id, job_id))
        if job.kind != UPLOAD:
            raise Conflict("Only jobs of uploads are told that there is no more.")
        row = await fetch_one(self._tx, _SQL["seal"], tenant_id=self._tenant, id=job_id)
        return _job(row) if row else job

    async def cancel(self, chatbot_id: ChatbotId, job_id: JobId) -> tuple[Job, bool]:
        """The job, and whether this call cancelled it; one that has ended stays what it is. Raises NotFound."""
        job = _found(await self._one("lock", chatbot_id, job_id))
        row = await fetch_one(self._tx, _SQL["cancel"], tenant_id=self._tenant, id=job_id)
        return (_job(row), True) if row else (job, False)

    async def failures(self, job_id: JobId, limit: int, after: str | None = None) -> list[JobFailure]:
        """Up to `limit`, in the order of their keys, after one of them."""
        rows = await fetch_all(
            self._tx, _SQL["failures"], tenant_id=self._tenant, job_id=job_id, limit=limit, after=after
        )
        return [JobFailure(**row) for row in rows]

    async def document_ended(
        self, document_id: DocumentId, state: ItemState, *, reason: str | None = None, chunks: int = 0
    ) -> None:
        """Every job that waits for the document waits no more."""
        values = {"tenant_id": self._tenant, "document_id": document_id, "state": state}
        await execute(self._tx, _SQL["document_ended"], **values, reason=reason, chunks=chunks)

    async def replaced_by(self, document_id: DocumentId) -> list[tuple[DocumentId, str]]:
        """Older documents whose place this one takes, and who asked for that."""
        rows = await fetch_all(self._tx, _SQL["replaced_by"], tenant_id=self._tenant, id=document_id)
        return list({row["id"]: (DocumentId(row["id"]), str(row["requested_by"])) for row in rows}.values())

    async def _add(self, job_id: JobId, documents: Sequence[tuple[DocumentId, ItemState]]) -> None:
        ids, states = [one for one, _ in documents], [state.value for _, state in documents]
        nothing: list[str | None] = [None] * len(ids)
        await self._insert_items(job_id, ([str(one) for one in ids], ids, [""] * len(ids), states, nothing))

    async def _insert_items(self, job_id: JobId, columns: tuple[Sequence[Any], ...]) -> None:
        names = ("keys", "document_ids", "names", "states", "reasons")
        values = {name: list(column) for name, column in zip(names, columns, strict=True)}
        await execute(self._tx, _SQL["add_items"], tenant_id=self._tenant, job_id=job_id, **values)

    async def _one(self, block: str, chatbot_id: ChatbotId, job_id: JobId) -> DictRow | None:
        return await fetch_one(self._tx, _SQL[block], tenant_id=self._tenant, chatbot_id=chatbot_id, id=job_id)


class AllJobs:
    """Across tenants: needs a system transaction, and a single supervisor."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def going_on(self) -> list[Job]:
        return [_job(row) for row in await fetch_all(self._tx, _SQL["going_on"])]

    async def refresh(self, job: Job, pace: tuple[float, float]) -> Job | None:
        """Count its documents anew, end it when it is over; None when all is as it was, or it is gone.

        `pace` is in documents and chunks per second.
        """
        values = {"tenant_id": job.tenant_id, "id": job.id}
        speeds = {"documents_per_second": pace[0], "chunks_per_second": pace[1]}
        row = await fetch_one(self._tx, _SQL["refresh"], **values, **speeds)
        if row is None:
            return None
        found = _job(row)
        if found.ended_at is not None:
            await execute(self._tx, _SQL["forget_unchanged"], **values)
        return found

    async def seal_idle(self, seconds: float) -> int:
        """Jobs of uploads that nobody has given anything for so long get no more; how many."""
        return await execute(self._tx, _SQL["seal_idle"], seconds=seconds)

    async def claim_source(self) -> Job | None:
        """The next job whose source is to be read, one per tenant at a time."""
        row = await fetch_one(self._tx, _SQL["claim_source"])
        return _job(row) if row else None

    async def source_read(self, job: Job, reason: str | None) -> None:
        """All of it, or as far as the sentence `reason` says."""
        await execute(self._tx, _SQL["source_read"], tenant_id=job.tenant_id, id=job.id, reason=reason)

    async def give_back(self, job: Job, most: int, reason: str) -> None:
        """Its reading broke off: it is begun again, or ends with `reason` after the last of `most` attempts."""
        values = {"tenant_id": job.tenant_id, "id": job.id, "most": most, "reason": reason}
        await execute(self._tx, _SQL["give_back"], **values)

    async def give_all_back(self, most: int, reason: str) -> None:
        """As `give_back`, for every source that an earlier process was reading."""
        await execute(self._tx, _SQL["give_all_back"], most=most, reason=reason)

    async def left_by_cancelled(self, limit: int) -> list[LeftDocument]:
        """Up to `limit`, locked."""
        rows = await fetch_all(self._tx, _SQL["left_by_cancelled"], limit=limit)
        return [LeftDocument(**row) for row in rows]

    async def remove_left(self, document: LeftDocument) -> None:
        await execute(self._tx, _SQL["remove_left"], tenant_id=document.tenant_id, id=document.id)

    async def expire(self, days: int) -> int:
        """Forget jobs that ended so long ago; how many."""
        return await execute(self._tx, _SQL["expire"], days=days)


def _job(row: DictRow) -> Job:
    return Job(**{**row, "state": JobState(row["state"])})


def _found(row: DictRow | None) -> Job:
    if row is None:
        raise NotFound("There is no such job.")
    return _job(row)
