"""Jobs at work in the supervisor: progress, cancellation, replacement, and sources that the platform reads itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from actors.ingestion_supervisor import IngestionSupervisor
from actors.paid_embedding import PaidEmbedding
from configs.settings import Settings
from domain.audit import ActorKind, Origin
from domain.documents import Document
from domain.erasure import ErasureKind
from domain.generation import Usage
from domain.ids import ChatbotId, JobId, TenantId, new_uuid
from domain.jobs import Job, JobState
from domain.metering import CallKind, ModelCall
from pipelines.parsing.registry import TEXT
from pipelines.queueing import queue_document
from pipelines.sources.content import Content
from storage.blobs import BlobStore
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.jobs import Jobs
from tests.fixtures.database import DATABASE_SECRET, MASTER_KEYS
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.purse import TwinPurse
from tests.fixtures.scripted_pipeline import POISON, ScriptedPipeline
from tests.fixtures.web_server import LOOPBACK, WebServer, response

Bot = tuple[TenantId, ChatbotId]
SENT = 49
"""More than both lanes take at once; with one more it is what the plan allows."""
SOMEBODY = Origin(ActorKind.USER, str(UUID(int=1)))


@dataclass
class JobRig:
    knowledge: KnowledgeBase
    tenant: TenantId
    bot: ChatbotId

    async def job(self, source: dict[str, Any], *, replaces: bool = False) -> Job:
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            jobs = Jobs(tx, self.tenant)
            return await jobs.insert(self.bot, JobId(new_uuid()), "", source, f"user:{UUID(int=1)}", replaces=replaces)

    async def send(self, job: Job | None, name: str, data: bytes, source: str | None = None) -> Document:
        content = Content()
        await content.write(data)
        blobs, job_id = BlobStore(self.knowledge.objects_url), job.id if job else None
        with closing(content):
            document, _ = await queue_document(
                self.knowledge.db,
                blobs,
                self.tenant,
                self.bot,
                name,
                TEXT,
                content,
                SOMEBODY,
                source=source,
                job_id=job_id,
            )
        return document

    async def get(self, job: Job) -> Job:
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            return await Jobs(tx, self.tenant).get(self.bot, job.id)

    async def seal(self, job: Job) -> None:
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            await Jobs(tx, self.tenant).seal(self.bot, job.id)

    async def ended(self, job: Job) -> Job:
        async with asyncio.timeout(30):
            while (found := await self.get(job)).ended_at is None:
                await asyncio.sleep(0.05)
        return found

    async def documents(self) -> dict[str, Document]:
        async with tenant_tx(self.knowledge.db, self.tenant) as tx:
            return {one.name: one for one in await Documents(tx).list_page(self.tenant, self.bot, 100)}


@pytest.fixture
async def jobs(knowledge: KnowledgeBase, bot: Bot) -> JobRig:
    return JobRig(knowledge, *bot)


@pytest.fixture
async def supervisor(
    knowledge: KnowledgeBase, redis_url: str, pipeline: ScriptedPipeline, tmp_path: Path
) -> AsyncIterator[IngestionSupervisor]:
    settings = Settings(
        object_store_url=knowledge.objects_url,
        profile="test",
        data_dir=tmp_path,
        redis_url=redis_url,
        secret_key=SecretStr(DATABASE_SECRET),
        master_keys=MASTER_KEYS,
        fetch_networks=(f"{LOOPBACK}/32",),
    )
    supervisor = IngestionSupervisor(settings, knowledge.urls)
    yield supervisor
    await supervisor.close()


async def test_a_job_is_counted_while_it_runs_and_ends_by_itself(jobs: JobRig, supervisor: IngestionSupervisor) -> None:
    job = await jobs.job({"kind": "upload"})
    for number in range(5):
        await jobs.send(job, f"{number}.txt", f"Number {number}.".encode())
    await jobs.send(job, POISON, b"poison")
    await jobs.seal(job)
    await supervisor.start()
    found = await jobs.ended(job)
    assert (found.state, found.found, found.ready, found.failed, found.chunks) == (JobState.COMPLETED, 6, 5, 1, 5)
    async with tenant_tx(jobs.knowledge.db, jobs.tenant) as tx:
        [failure] = await Jobs(tx, jobs.tenant).failures(job.id, 10)
    assert failure.name == POISON


async def test_a_spent_budget_refuses_what_somebody_else_would_embed(
    jobs: JobRig, supervisor: IngestionSupervisor
) -> None:
    def price(texts: Sequence[str], model: str) -> ModelCall:
        return ModelCall(CallKind.EMBEDDING, "", model or "usual", Usage(embedded_tokens=len(texts)))

    await supervisor.open()
    supervisor.ends._paid = PaidEmbedding(price, lambda _: 0, purse := TwinPurse(2))
    job = await jobs.job({"kind": "upload"})
    for number in range(4):
        await jobs.send(job, f"{number}.txt", f"Number {number}.".encode())
    await jobs.seal(job)
    await supervisor.start()
    found = await jobs.ended(job)
    assert (found.ready, found.failed) == (2, 2)
    assert purse.left == 0
    reason = "The Free plan allows 2 tokens per month."
    async with tenant_tx(jobs.knowledge.db, jobs.tenant) as tx:
        assert {one.reason for one in await Jobs(tx, jobs.tenant).failures(job.id, 10)} == {reason}
    ended = [one.reason for one in (await jobs.documents()).values() if one.reason]
    assert ended == [reason] * 2


async def test_a_new_version_takes_the_place_of_the_earlier_one(jobs: JobRig, supervisor: IngestionSupervisor) -> None:
    await supervisor.start()
    for text, replaces in ((b"First.", False), (b"Second.", True)):
        job = await jobs.job({"kind": "upload"}, replaces=replaces)
        await jobs.send(job, "page.txt", text, "https://example.com/page")
        await jobs.send(job, f"other {text!r}.txt", text * 2, "https://example.com/other" if replaces else None)
        await jobs.seal(job)
        await jobs.ended(job)
    async with tenant_tx(jobs.knowledge.db, jobs.tenant) as tx:
        left = await Documents(tx).list_page(jobs.tenant, jobs.bot, 100)
    assert sorted(one.size for one in left if one.name == "page.txt") == [len(b"Second.")]
    assert len(left) == 3
    async with system_tx(jobs.knowledge.db) as tx:
        query = b"select kind, requested_by from erasures where tenant_id = %s"
        erasures = await (await tx.execute(query, [jobs.tenant])).fetchall()
    assert [(row["kind"], row["requested_by"]) for row in erasures] == [(ErasureKind.DOCUMENT, f"user:{UUID(int=1)}")]


async def test_what_is_handed_over_one_by_one_is_taken_before_what_came_in_bulk(jobs: JobRig) -> None:
    job = await jobs.job({"kind": "upload"})
    for number in range(3):
        await jobs.send(job, f"bulk {number}.txt", f"Number {number}.".encode())
    await jobs.send(None, "alone.txt", b"Alone.")
    await jobs.send(None, "large.txt", b"x" * 100)
    async with system_tx(jobs.knowledge.db) as tx:
        [first] = await Documents(tx).claim_batch(1, 1_000)
        [second] = await Documents(tx).claim_batch(1, 1_000, largest=50)
    assert [first.document.name, second.document.name] == ["alone.txt", "bulk 0.txt"]


async def test_a_source_on_the_web_is_read_and_read_again(
    jobs: JobRig, supervisor: IngestionSupervisor, web_server: WebServer
) -> None:
    web_server.pages["/a.txt"] = response(b"Page A.", content_type="text/plain")
    web_server.pages["/b.txt"] = response(b"Page B.", content_type="text/plain")
    base = f"http://{LOOPBACK}:{web_server.port}"
    source = {"kind": "url", "urls": [f"{base}/a.txt", f"{base}/b.txt", f"{base}/missing.txt"]}
    await supervisor.start()
    first = await jobs.ended(await jobs.job(source, replaces=True))
    counts = (first.state, first.found, first.ready, first.failed, first.unchanged)
    assert counts == (JobState.COMPLETED, 3, 2, 1, 0), first.reason
    async with tenant_tx(jobs.knowledge.db, jobs.tenant) as tx:
        [failure] = await Jobs(tx, jobs.tenant).failures(first.id, 10)
    assert "404" in failure.reason
    web_server.pages["/b.txt"] = response(b"Page B, edited.", content_type="text/plain")
    second = await jobs.ended(await jobs.job(source, replaces=True))
    assert (second.ready, second.unchanged, second.failed) == (1, 1, 1)
    assert sorted(one.source or "" for one in (await jobs.documents()).values()) == [f"{base}/a.txt", f"{base}/b.txt"]


async def test_a_source_whose_reader_breaks_is_read_again_and_then_given_up(
    jobs: JobRig, supervisor: IngestionSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[JobId] = []

    async def break_off(self: Any, job: Job) -> str | None:
        read.append(job.id)
        raise RuntimeError("the reader broke")

    monkeypatch.setattr("pipelines.discovery.Discovery.read", break_off)
    await supervisor.start()
    found = await jobs.ended(await jobs.job({"kind": "url", "urls": ["https://example.com/"]}))
    assert found.state is JobState.FAILED
    assert found.reason == "The source could not be read after several attempts."
    assert read == [found.id] * 3
