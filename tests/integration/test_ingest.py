"""The ingestion pipeline on real Ray: files in, searchable passages out, and failures that stay alone."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import ray
from pydantic import SecretStr

from actors.ingestion_supervisor import IngestionSupervisor
from configs.settings import Settings
from domain.chunking_config import ChunkingConfig
from domain.documents import DocumentStatus
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.relevance import relevance, shared_words
from pipelines import ingest as pipeline
from pipelines.background import NICENESS, background_environment
from pipelines.embed_stage import EmbedPool
from pipelines.ingest import ingest
from pipelines.parsed_json import load_parsed
from pipelines.parsing.registry import DOCX, MARKDOWN, PDF, TEXT
from pipelines.work import EmbeddedDocument, FailedDocument, IngestSizing, WorkItem
from storage.blobs import ORIGINAL, PARSED, BlobStore, original_key, parsed_key
from storage.keys import TenantCipher
from storage.models.embedding import (
    EmbeddingModel,
    embedding_dimension,
    embedding_model_path,
    embedding_token_count,
)
from storage.vectors.store import VectorStore
from tests.fixtures.database import DATABASE_SECRET, MASTER_KEYS
from tests.fixtures.files import fake_docx, pdf, truncated_pdf
from tests.fixtures.knowledge import KnowledgeBase, QuestionSet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
CIPHER = TenantCipher(TENANT, {1: bytes(32)})
WEIGHTS = embedding_model_path(Settings())


@pytest.fixture(scope="module")
def pool(ray_cluster: Any) -> Any:
    pool = EmbedPool.open(IngestSizing("", WEIGHTS))
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    return EmbeddingModel(WEIGHTS, threads=2)


@pytest.fixture
def sizing(tmp_path: Path) -> IngestSizing:
    return IngestSizing(str(tmp_path / "objects"), WEIGHTS)


def _place(*_: object) -> tuple[int, int]:
    """Of the process on the processor."""
    return os.sched_getscheduler(0), os.nice(0)


async def stored(sizing: IngestSizing, name: str, media_type: str, data: bytes | None) -> WorkItem:
    keys = CIPHER.for_document(DocumentId(uuid4()))
    item = WorkItem(TENANT, BOT, keys.document_id, name, media_type, keys.dumps())
    if data is not None:
        await BlobStore(sizing.objects_url).put(original_key(TENANT, item.document_id), keys.seal(ORIGINAL, data))
    return item


@pytest.mark.parametrize("few", [0, 100], ids=["Ray Data", "plain tasks"])
async def test_failures_stay_alone(
    pool: EmbedPool, sizing: IngestSizing, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(pipeline, "FEW_ITEMS", few)
    blobs, vectors = BlobStore(sizing.objects_url), VectorStore(sizing.objects_url)
    manual = "# Setup\n\nPress the green button for two seconds.\n\n# Care\n\nClean the lens with a dry cloth."
    good = [
        await stored(sizing, "manual.pdf", PDF, pdf(["Page one is about zebras.", "Page two is about submarines."])),
        await stored(sizing, "manual.md", MARKDOWN, manual.encode()),
        await stored(sizing, "umlaut.txt", TEXT, "Die Straße nach Köln ist gesperrt. 🦓".encode()),
    ]
    bad = [
        await stored(sizing, "cut.pdf", PDF, truncated_pdf()),
        await stored(sizing, "not.docx", DOCX, fake_docx()),
        await stored(sizing, "empty.txt", TEXT, b""),
        await stored(sizing, "blank.txt", TEXT, b" \n\t \n"),
        await stored(sizing, "lost.txt", TEXT, None),
        await stored(sizing, "strange", "application/x-strange", b"x"),
    ]
    results = [result async for result in ingest([*bad[:3], *good, *bad[3:]], sizing, pool, vectors)]

    embedded = {result.item: result for result in results if isinstance(result, EmbeddedDocument)}
    failed = {result.item: result.reason for result in results if isinstance(result, FailedDocument)}
    assert set(embedded) == set(good)
    assert set(failed) == set(bad)
    assert all(reason.endswith(".") and "Traceback" not in reason for reason in failed.values())
    assert embedded[good[0]].pages == 2

    [passage, *_] = await vectors.search(
        TENANT, BOT, "submarines", model.encode(["What is about submarines?"])[0], top_k=3, min_score=0.3
    )
    assert (passage.document_id, passage.document_name, passage.page) == (good[0].document_id, "manual.pdf", 2)
    for item, result in embedded.items():
        sealed = await blobs.get(parsed_key(TENANT, item.document_id))
        parsed = load_parsed(CIPHER.for_document(item.document_id).open(PARSED, sealed))
        assert [chunk.ordinal for chunk in result.chunks] == list(range(len(result.chunks)))
        assert all(parsed.text[chunk.start : chunk.end] == chunk.text for chunk in result.chunks)
        assert await vectors.count(TENANT, BOT, item.document_id) == len(result.chunks)
    assert await vectors.count(TENANT, BOT) == sum(len(result.chunks) for result in embedded.values())


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the system has no such place on the processor")
async def test_whatever_computes_has_stepped_back_before_it_imports_anything(
    pool: EmbedPool, sizing: IngestSizing
) -> None:
    items = [await stored(sizing, "note.txt", TEXT, b"A note.")]
    assert [result async for result in ingest(items, sizing, pool, VectorStore(sizing.objects_url))]
    workers = await asyncio.gather(*(worker.__ray_call__.remote(_place) for worker in pool.workers))
    task: Any = ray.remote(_place).options(runtime_env=background_environment())
    assert {*workers, await task.remote()} == {(os.SCHED_IDLE, NICENESS)}


async def test_every_chunk_has_its_own_vector(pool: EmbedPool, sizing: IngestSizing, model: EmbeddingModel) -> None:
    sizing = replace(sizing, batch_chunks=16)
    vectors = VectorStore(sizing.objects_url)
    long = " ".join(f"Sentence {number} of the long document speaks about thing {number}." for number in range(600))
    items = [
        await stored(sizing, "long.txt", TEXT, long.encode()),
        *[await stored(sizing, f"{number}.txt", TEXT, f"Short note {number}.".encode()) for number in range(30)],
    ]
    # The bot's own settings, where it has some.
    items[0] = replace(items[0], chunking=ChunkingConfig(max_tokens=40, overlap_tokens=0).model_dump_json())
    results = [result async for result in ingest(items, sizing, pool, vectors)]
    assert {result.item for result in results} == set(items)
    for result in results:
        assert isinstance(result, EmbeddedDocument)
        expected = model.encode([chunk.text for chunk in result.chunks])
        assert (result.vectors * expected).sum(axis=1).min() > 0.999
    longest = max(results, key=lambda result: len(getattr(result, "chunks", ())))
    assert isinstance(longest, EmbeddedDocument)
    assert len(longest.chunks) > 2 * sizing.batch_chunks
    count = embedding_token_count(WEIGHTS)
    assert 30 < max(count(chunk.text) for chunk in longest.chunks) <= 40


async def test_a_run_that_is_left_early_ends(pool: EmbedPool, sizing: IngestSizing) -> None:
    vectors = VectorStore(sizing.objects_url)
    items = [await stored(sizing, f"{number}.txt", TEXT, f"Note {number}.".encode()) for number in range(20)]
    run = ingest(items, sizing, pool, vectors)
    await anext(run)
    await run.aclose()
    results = [result async for result in ingest(items[:2], sizing, pool, vectors)]
    assert len(results) == 2


async def test_a_worker_that_dies_is_replaced(pool: EmbedPool, sizing: IngestSizing, ray_cluster: Any) -> None:
    item = await stored(sizing, "note.txt", TEXT, b"Still here.")
    ray_cluster.kill(pool.workers[0], no_restart=False)
    [result] = [result async for result in ingest([item], sizing, pool, VectorStore(sizing.objects_url))]
    assert isinstance(result, EmbeddedDocument)


@pytest.fixture
async def supervisor(knowledge: KnowledgeBase, redis_url: str, pool: EmbedPool) -> AsyncIterator[IngestionSupervisor]:
    settings = Settings(
        object_store_url=knowledge.objects_url,
        profile="test",
        redis_url=redis_url,
        secret_key=SecretStr(DATABASE_SECRET),
        master_keys=MASTER_KEYS,
    )
    supervisor = IngestionSupervisor(settings, knowledge.urls)
    await supervisor.open()
    supervisor.pools.open[settings.embedding_model] = pool
    yield supervisor
    supervisor.pools.open.clear()
    await supervisor.close()


async def test_uploads_become_ready_or_failed(knowledge: KnowledgeBase, supervisor: IngestionSupervisor) -> None:
    tenant, bot = await knowledge.new_bot()
    stranger = await knowledge.new_bot()
    good = await knowledge.upload(tenant, bot, pdf(["About llamas.", "About engines."]), "a.pdf", PDF)
    bad = await knowledge.upload(tenant, bot, truncated_pdf(), "b.pdf", PDF)
    theirs = await knowledge.upload(*stranger, b"A note of somebody else.")
    await supervisor.start()
    await supervisor.start()
    await supervisor.notify()
    ends = {good.id: DocumentStatus.READY, bad.id: DocumentStatus.FAILED, theirs.id: DocumentStatus.READY}

    seen: dict[Any, Any] = {}
    async with asyncio.timeout(120):
        while {key: document.status for key, document in seen.items()} != ends:
            await asyncio.sleep(0.05)
            seen = {one.id: await knowledge.document(one) for one in (good, bad, theirs)}
    assert (seen[good.id].pages, seen[good.id].chunks) == (2, 2)
    assert seen[good.id].chunked_with == ChunkingConfig().fingerprint(Settings().embedding_model)
    assert seen[bad.id].chunked_with is None
    assert seen[bad.id].reason.endswith(".")
    vectors = VectorStore(knowledge.objects_url)
    assert await vectors.count(tenant, bot) == 2
    assert await vectors.count(*stranger) == 1
    events = await knowledge.events(tenant)
    assert {(event["payload"]["document_id"], event["payload"]["status"]) for event in events} == {
        (str(good.id), "ready"),
        (str(bad.id), "failed"),
    }
    assert {event["aggregate"] for event in events} == {f"document:{good.id}", f"document:{bad.id}"}


async def test_bfloat16_and_float32_agree(model: EmbeddingModel, xquad: QuestionSet) -> None:
    from sentence_transformers import SentenceTransformer

    exact = SentenceTransformer(WEIGHTS, local_files_only=True).encode(
        xquad.paragraphs[:20], normalize_embeddings=True, show_progress_bar=False
    )
    assert (model.encode(xquad.paragraphs[:20]) * exact).sum(axis=1).min() > 0.999
    assert embedding_dimension(WEIGHTS) == model.dimension == exact.shape[1]


async def test_the_gold_paragraph_is_among_five_passages(
    pool: EmbedPool, sizing: IngestSizing, model: EmbeddingModel, xquad: QuestionSet
) -> None:
    vectors = VectorStore(sizing.objects_url)
    items = [await stored(sizing, f"{n}.txt", TEXT, text.encode()) for n, text in enumerate(xquad.paragraphs)]
    assert len([result async for result in ingest(items, sizing, pool, vectors)]) == len(items)
    questions = xquad.questions[::3]
    queries = model.encode([question.text for question in questions])
    found = 0
    for question, query in zip(questions, queries, strict=True):
        passages = await vectors.search(TENANT, BOT, question.text, query, top_k=5, min_score=0.3)
        found += items[question.paragraph].document_id in {passage.document_id for passage in passages}
    assert found / len(questions) >= 0.95


async def test_the_default_relevance_separates(model: EmbeddingModel, xquad: QuestionSet) -> None:
    """Of a bot about one article: at least 96 % of its questions are answered, and hardly any about another one."""
    similarity = model.encode([q.text for q in xquad.questions]) @ model.encode(xquad.paragraphs).T
    threshold = RetrievalConfig().min_relevance
    sure = np.zeros((len(xquad.questions), 10))
    for asked, question in enumerate(xquad.questions):
        for article in range(10):
            texts = xquad.paragraphs[5 * article : 5 * article + 5]
            best = float(similarity[asked, 5 * article : 5 * article + 5].max())
            sure[asked, article] = relevance(best, shared_words(question.text, texts))
    own = np.arange(10) == np.array([question.article for question in xquad.questions])[:, None]
    assert (sure[own] >= threshold).mean() >= 0.96
    assert (sure[~own] < threshold).mean() >= 0.98


def test_ray_is_a_cluster_of_our_own(ray_cluster: Any) -> None:
    assert ray_cluster.cluster_resources()["CPU"] == 4
    assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
