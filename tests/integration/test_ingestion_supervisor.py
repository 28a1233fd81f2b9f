"""The supervisor's care for documents whose run goes wrong, with a scripted pipeline over real stores."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import numpy as np
import pytest

from actors.ingestion_runs import GAVE_UP, MAX_ATTEMPTS
from actors.ingestion_supervisor import IngestionSupervisor
from domain.documents import Chunk, Document, DocumentStatus
from domain.erasure import ErasureKind, ErasureState
from domain.errors import NotFound
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.work import WorkItem
from storage.blobs import ORIGINAL, BlobStore, original_key
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.erased_rows import erase
from storage.postgres.erasures import Erasures
from storage.postgres.tenant_keys import keys_of
from storage.vectors.store import VectorStore
from tests.fixtures.conditions import eventually
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.scripted_pipeline import NO_ROOM, POISON, UNWRITABLE, ScriptedPipeline

Bot = tuple[TenantId, ChatbotId]


@pytest.fixture
async def supervisor(
    knowledge: KnowledgeBase, redis_url: str, pipeline: ScriptedPipeline
) -> AsyncIterator[IngestionSupervisor]:
    supervisor = IngestionSupervisor(knowledge.settings(redis_url), knowledge.urls)
    yield supervisor
    await supervisor.close()


async def ended(knowledge: KnowledgeBase, *documents: Document) -> list[Document]:
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.02)
            now = [await knowledge.document(document) for document in documents]
            if all(one.status in (DocumentStatus.READY, DocumentStatus.FAILED) for one in now):
                return now


async def test_documents_are_found_without_being_told(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, bot: Bot
) -> None:
    await supervisor.start()
    document = await knowledge.upload(*bot, b"later")
    [now] = await ended(knowledge, document)
    assert (now.status, now.chunks) == (DocumentStatus.READY, 1)


async def test_a_document_that_breaks_its_run_fails_and_takes_nobody_along(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    poison = await knowledge.upload(*bot, b"poison", POISON)
    good = [await knowledge.upload(*bot, f"good {number}".encode(), f"{number}.txt") for number in range(3)]
    await supervisor.start()
    bad, *others = await ended(knowledge, poison, *good)
    assert (bad.status, bad.reason) == (DocumentStatus.FAILED, GAVE_UP)
    assert {one.status for one in others} == {DocumentStatus.READY}
    assert [run for run in pipeline.runs if POISON in run][1:] == [[POISON]] * (MAX_ATTEMPTS - 1)
    statuses = [event["payload"]["status"] for event in await knowledge.events(bot[0])]
    assert sorted(statuses) == ["failed", "ready", "ready", "ready"]


async def test_a_document_that_cannot_be_written_fails_alone_and_says_why(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    unwritable = await knowledge.upload(*bot, b"too much", UNWRITABLE)
    good = await knowledge.upload(*bot, b"good", "good.txt")
    await supervisor.start()
    bad, other = await ended(knowledge, unwritable, good)
    assert (bad.status, bad.reason) == (DocumentStatus.FAILED, NO_ROOM)
    assert other.status is DocumentStatus.READY
    assert len([run for run in pipeline.runs if UNWRITABLE in run]) == MAX_ATTEMPTS
    assert await VectorStore(knowledge.objects_url).count(*bot, unwritable.id) == 0


async def test_what_a_dead_supervisor_had_in_work_is_taken_up(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, bot: Bot
) -> None:
    document = await knowledge.upload(*bot, b"orphan")
    hopeless = await knowledge.upload(*bot, b"orphan without hope")
    async with system_tx(knowledge.db) as tx:
        assert len(await Documents(tx).claim_batch(10, 1_000)) == 2
        await tx.execute("update documents set attempts = %s where id = %s", [MAX_ATTEMPTS, hopeless.id])
    # It had committed the chunks already, and died before the row was changed.
    vectors = VectorStore(knowledge.objects_url)
    for one in (document, hopeless):
        await vectors.add_document(*bot, one.id, "x", [Chunk(0, 0, 1, "x")], np.ones((1, 4), dtype=np.float32))
    await supervisor.start()
    now, gone = await ended(knowledge, document, hopeless)
    assert (now.status, now.chunks) == (DocumentStatus.READY, 1)
    assert (gone.status, gone.reason) == (DocumentStatus.FAILED, GAVE_UP)
    assert await vectors.count(*bot, document.id) == 1
    assert await vectors.count(*bot, hopeless.id) == 0


async def test_a_document_deleted_while_in_work_leaves_nothing(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    deleted = await knowledge.upload(*bot, b"deleted", "deleted.txt")
    kept = await knowledge.upload(*bot, b"kept", "kept.txt")

    async def delete(item: WorkItem) -> None:
        if item.name == "deleted.txt":
            await knowledge.delete(deleted)
            await supervisor.forget(str(bot[0]), str(bot[1]), str(deleted.id))

    pipeline.before_commit = delete
    await supervisor.start()
    await ended(knowledge, kept)
    vectors, blobs = VectorStore(knowledge.objects_url), BlobStore(knowledge.objects_url)
    await eventually(lambda: not supervisor.runs.load["in_work"])
    assert await vectors.count(*bot, deleted.id) == 0
    assert await vectors.count(*bot, kept.id) == 1
    with pytest.raises(NotFound):
        await blobs.get(original_key(bot[0], deleted.id))
    keys = (await keys_of(knowledge.db, bot[0])).for_document(kept.id)
    assert keys.open(ORIGINAL, await blobs.get(original_key(bot[0], kept.id))) == b"kept"


async def test_a_chatbot_deleted_while_its_document_is_in_work_leaves_nothing(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    document = await knowledge.upload(*bot, b"deleted")
    forgotten = asyncio.Event()

    async def delete(item: WorkItem) -> None:
        async with system_tx(knowledge.db) as tx:
            await tx.execute("delete from chatbots where id = %s", [item.chatbot_id])
        await supervisor.forget(str(bot[0]), str(bot[1]), None, [str(document.id)])
        forgotten.set()

    pipeline.before_commit = delete
    await supervisor.start()
    await asyncio.wait_for(forgotten.wait(), 10)
    await eventually(lambda: not supervisor.runs.load["in_work"])
    assert await VectorStore(knowledge.objects_url).search(*bot, "x", [1, 0, 0, 0], top_k=1, min_score=0) == []
    with pytest.raises(NotFound):
        await BlobStore(knowledge.objects_url).get(original_key(bot[0], document.id))


async def test_forgetting_is_repeatable_and_takes_ids_only(supervisor: IngestionSupervisor) -> None:
    await supervisor.start()
    for _ in range(2):
        await supervisor.forget(str(uuid4()), str(uuid4()), str(uuid4()))
        await supervisor.forget(str(uuid4()), str(uuid4()))
    with pytest.raises(ValueError, match="UUID"):
        await supervisor.forget("../..", str(uuid4()))


async def test_a_document_that_is_erased_while_it_is_ingested_leaves_nothing(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    """The supervisor's own eraser waits for the run, and then takes its chunks and files along."""
    erasures: list[UUID] = []

    async def erase_now(item: WorkItem) -> None:
        async with tenant_tx(knowledge.db, item.tenant_id) as tx:
            erasure = await erase(tx, item.tenant_id, ErasureKind.DOCUMENT, item.document_id, "user:x")
        erasures.append(erasure.id)

    pipeline.before_commit = erase_now
    document = await knowledge.upload(*bot, b"gone")
    await supervisor.start()
    await eventually(lambda: erasures)
    async with asyncio.timeout(30):
        while True:
            async with tenant_tx(knowledge.db, bot[0]) as tx:
                erasure = await Erasures(tx).get(bot[0], erasures[0])
            if erasure.state is ErasureState.DONE:
                break
            await asyncio.sleep(0.05)
    assert await VectorStore(knowledge.objects_url).count(*bot, document.id) == 0
    assert await BlobStore(knowledge.objects_url).count(str(bot[0])) == 0
    assert erasure.receipt is not None


async def test_passages_have_the_name_that_their_document_has_now(
    knowledge: KnowledgeBase, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, bot: Bot
) -> None:
    async def rename(document: UUID, name: str) -> None:
        async with tenant_tx(knowledge.db, bot[0]) as tx:
            await Documents(tx).update_details(*bot, DocumentId(document), name=name, metadata=None)

    async def names() -> set[str]:
        vectors = VectorStore(knowledge.objects_url)
        found = await vectors.search(*bot, "text", [1.0] * 4, top_k=5, min_score=0.0)
        return {passage.document_name for passage in found}

    pipeline.before_commit = lambda item: rename(item.document_id, "during.txt")
    document = await knowledge.upload(*bot, b"text", "before.txt")
    await supervisor.start()
    await ended(knowledge, document)

    async def renamed() -> bool:
        return await names() == {"during.txt"}

    await eventually(renamed)
    await rename(document.id, "after.txt")
    await supervisor.rename(*map(str, (*bot, document.id)))
    assert await names() == {"after.txt"}
    assert await VectorStore(knowledge.objects_url).count(*bot) == 1
    await knowledge.delete(document)
    await supervisor.rename(*map(str, (*bot, document.id)))
    await supervisor.rename(*map(str, (*bot, uuid4())))
