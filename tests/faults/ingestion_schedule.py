"""One seeded run: documents are ingested, processes die at stages, and what is left is checked for each document."""

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from configs.settings import Settings
from domain.audit import ActorKind, Origin
from domain.documents import Document, DocumentStatus
from domain.ids import ChatbotId, JobId, TenantId, new_uuid
from domain.jobs import Job, JobState
from pipelines.parsing.registry import PDF, TEXT
from pipelines.queueing import queue_document
from pipelines.sources.content import Content
from storage.blobs import BlobStore
from storage.postgres.database import tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.jobs import Jobs
from storage.vectors.store import VectorStore
from storage.vectors.tables import table_key
from tests.faults.ingestion_deaths import FOLDER, STAGES, MortalSupervisor, arm
from tests.fixtures.files import truncated_pdf
from tests.fixtures.installation_folder import ROOT
from tests.fixtures.knowledge import KnowledgeBase

DOCUMENTS = 6
DEADLINE_SECONDS = 240.0
PARAGRAPH = "Sentence {n} of document {d} says that thing {n} is kept in room {d}, on shelf {n}. "


async def run_deaths(
    ray: Any, knowledge: KnowledgeBase, settings: Settings, seed: int, stages: tuple[str, ...] = STAGES
) -> list[str]:
    """What is wrong afterwards; nothing when every document is ready with its chunks once, or failed with none.

    Each of the stages kills one process, the second one of them after what the first one broke has begun anew.
    """
    chance = random.Random(seed)
    with TemporaryDirectory(prefix="loquent-deaths-") as name:
        folder = Path(name)
        for stage in stages:
            # A few documents are one batch, and those that end together are one commit.
            arm(folder, stage, 1 if stage in ("embed", "write") else chance.randint(1, 4))
        tenant, bot = await knowledge.new_bot()
        job, documents = await _send(knowledge, tenant, bot, chance)
        supervisor = _actor(ray, settings, knowledge, folder)
        try:
            ended = await _ended(supervisor, knowledge, job)
        finally:
            ray.kill(supervisor)
        wrong = [f"{stage} killed nobody" for stage in stages if not (folder / f"died-{stage}").exists()]
    return wrong + await _violations(knowledge, ended, documents)


def _actor(ray: Any, settings: Settings, knowledge: KnowledgeBase, folder: Path) -> Any:
    environment = {"env_vars": {FOLDER: str(folder), "PYTHONPATH": str(ROOT)}}
    kind = ray.remote(MortalSupervisor).options(
        max_restarts=-1, num_cpus=0.05, max_concurrency=100, runtime_env=environment
    )
    return kind.remote(settings, knowledge.urls)


async def _send(
    knowledge: KnowledgeBase, tenant: TenantId, bot: ChatbotId, chance: random.Random
) -> tuple[Job, list[Document]]:
    async with tenant_tx(knowledge.db, tenant) as tx:
        jobs = Jobs(tx, tenant)
        job = await jobs.insert(bot, JobId(new_uuid()), "deaths", {"kind": "upload"}, "user:x")
    files = [(f"{n}.txt", TEXT, _text(n, chance.randint(1, 40))) for n in range(DOCUMENTS)]
    files.append(("damaged.pdf", PDF, truncated_pdf()))
    documents = []
    for name, media_type, data in files:
        content = Content()
        await content.write(data)
        blobs, origin = BlobStore(knowledge.objects_url), Origin(ActorKind.SYSTEM)
        stored, _ = await queue_document(
            knowledge.db, blobs, tenant, bot, name, media_type, content, origin, job_id=job.id
        )
        documents.append(stored)
        content.close()
    async with tenant_tx(knowledge.db, tenant) as tx:
        await Jobs(tx, tenant).seal(bot, job.id)
    return job, documents


def _text(document: int, sentences: int) -> bytes:
    return "".join(PARAGRAPH.format(d=document, n=number) for number in range(sentences)).encode()


async def _ended(supervisor: Any, knowledge: KnowledgeBase, job: Job) -> Job:
    """Start it until the job has ended, as the keeper does every second."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            await asyncio.gather(supervisor.start.remote(), return_exceptions=True)
            async with tenant_tx(knowledge.db, job.tenant_id) as tx:
                found = await Jobs(tx, job.tenant_id).get(job.chatbot_id, job.id)
            if found.ended_at is not None:
                return found
            await asyncio.sleep(0.2)


async def _violations(knowledge: KnowledgeBase, job: Job, sent: list[Document]) -> list[str]:
    tenant, bot = job.tenant_id, job.chatbot_id
    async with tenant_tx(knowledge.db, tenant) as tx:
        rows = [await Documents(tx).get(tenant, bot, one.id) for one in sent]
    table = await VectorStore(knowledge.objects_url)._open(table_key(tenant, bot))
    stored = [] if table is None else await table.query().select(["document_id", "ordinal"]).to_list()
    ordinals: dict[str, list[int]] = {}
    for row in stored:
        ordinals.setdefault(row["document_id"], []).append(row["ordinal"])
    wrong = []
    for document in rows:
        found = sorted(ordinals.pop(str(document.id), []))
        match document.status:
            case DocumentStatus.READY if found != list(range(document.chunks or 0)) or not found:
                wrong.append(f"{document.name} is ready with {document.chunks} chunks and has {found}")
            case DocumentStatus.FAILED if found:
                wrong.append(f"{document.name} failed and has {found}")
            case DocumentStatus.QUEUED | DocumentStatus.PROCESSING:
                wrong.append(f"{document.name} is {document.status} in a job that has ended")
    wrong += [f"chunks of {document}, which was never sent" for document in ordinals]
    ready = sum(one.status is DocumentStatus.READY for one in rows)
    if (job.state, job.ready, job.failed) != (JobState.COMPLETED, ready, len(rows) - ready):
        wrong.append(f"the job is {job.state} with {job.ready} ready and {job.failed} failed; {ready} are ready")
    if rows[-1].status is not DocumentStatus.FAILED or not ready:
        wrong.append(f"{ready} documents are ready, and the damaged one is {rows[-1].status}")
    return wrong
