"""Chunks per CPU-second through the whole ingestion pipeline, against raw encoding of the same chunks.

In one run and in turns, so that the machine's mood is the same for all. Raw is one call of the encoder that set-up
chose here, with all chunks in memory, and `SentenceTransformer.encode` in float32. The pipeline's CPU time is that of
the driver and every process below it: Ray's own, the parsers', the workers'. The raw runs count their own process only.
"""

import asyncio
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any
from uuid import uuid4

import psutil

from configs.ray_environment import ray_environment
from configs.settings import Settings
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parsing.registry import TEXT
from pipelines.work import EmbeddedDocument, IngestSizing, WorkItem
from storage.blobs import BlobStore, original_key
from storage.models.embedding import encoder_spec, open_encoder
from storage.models.prepare import prepare_models

ROUNDS = 3
DOCUMENTS = 48
PARAGRAPHS = 24
VOCABULARY = """
the of and to a in for is on that by this with you it not or be are from at as your all have new more an was we river
engine market signal garden winter protocol teacher copper island verdict cotton museum orbit protein harbour budget
violin glacier contract mineral airport library vaccine textile senate turbine
"""


def measure(rounds: int = ROUNDS, documents: int = DOCUMENTS) -> dict[str, float]:
    """Medians over `rounds`: chunks and documents per CPU-second, and the pipeline's share of the raw figures."""
    import ray

    os.environ.update({**ray_environment(), "RAY_AUTH_MODE": "disabled"})
    settings = Settings()
    prepare_models(settings, print)
    spec = encoder_spec(settings)
    with tempfile.TemporaryDirectory(prefix="loquent-bench-") as folder:
        sizing = IngestSizing(folder, spec.weights, spec)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            return asyncio.run(_measure(sizing, rounds, documents))
        finally:
            ray.shutdown()


async def _measure(sizing: IngestSizing, rounds: int, documents: int) -> dict[str, float]:
    from sentence_transformers import SentenceTransformer

    from pipelines.embed_stage import EmbedPool

    assert sizing.encoder is not None
    same = open_encoder(sizing.encoder, threads=sizing.embed_threads, bulk=True)
    plain = SentenceTransformer(sizing.weights, local_files_only=True)
    pool = EmbedPool.open(sizing)
    figures: dict[str, list[float]] = defaultdict(list)
    try:
        await _pipeline(sizing, pool, 2, seed=0)
        for number in range(1, rounds + 1):
            seconds, wall, chunks = await _pipeline(sizing, pool, documents, seed=number)
            figures["pipeline"].append(len(chunks) / seconds)
            figures["documents"].append(documents / seconds)
            figures["wall"].append(len(chunks) / wall)
            figures["raw_same"].append(len(chunks) / _own_cpu(partial(same.encode, chunks)))
            raw = partial(plain.encode, chunks, show_progress_bar=False)
            figures["raw_float32"].append(len(chunks) / _own_cpu(raw))
    finally:
        pool.close()
    found = {name: median(values) for name, values in figures.items()}
    return {
        "chunks_per_cpu_second": found["pipeline"],
        "documents_per_cpu_second": found["documents"],
        "chunks_per_second": found["wall"],
        "raw_chunks_per_cpu_second": found["raw_same"],
        "raw_float32_chunks_per_cpu_second": found["raw_float32"],
        "share_of_raw": found["pipeline"] / found["raw_same"],
        "share_of_raw_float32": found["pipeline"] / found["raw_float32"],
    }


async def _pipeline(sizing: IngestSizing, pool: Any, documents: int, seed: int) -> tuple[float, float, list[str]]:
    """CPU seconds, wall seconds, and the texts of the chunks."""
    from pipelines.ingest import ingest
    from storage.vectors.store import VectorStore

    tenant, bot = TenantId(uuid4()), ChatbotId(uuid4())
    blobs, vectors = BlobStore(sizing.objects_url), VectorStore(sizing.objects_url)
    items = []
    for number in range(documents):
        item = WorkItem(tenant, bot, DocumentId(uuid4()), f"{number}.txt", TEXT)
        await blobs.put(original_key(tenant, item.document_id), text_of(seed * 1_000 + number).encode())
        items.append(item)
    await pool.ready()
    texts: list[str] = []
    before, started = _tree_cpu(), time.perf_counter()
    async for result in ingest(items, sizing, pool, vectors):
        assert isinstance(result, EmbeddedDocument), result
        texts += [chunk.text for chunk in result.chunks]
    await vectors.optimize(tenant, bot)
    return _tree_cpu() - before, time.perf_counter() - started, texts


def text_of(seed: int) -> str:
    """Prose-like paragraphs of known words."""
    dice, words = random.Random(seed), VOCABULARY.split()
    sentences = (" ".join(dice.choices(words, k=dice.randint(8, 20))).capitalize() + "." for _ in iter(int, 1))
    return "\n\n".join(" ".join(next(sentences) for _ in range(8)) for _ in range(PARAGRAPHS))


def _own_cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _tree_cpu() -> float:
    """CPU seconds of this process and all below it, those that have ended included."""
    total = 0.0
    root = psutil.Process()
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> dict[str, float]:
    figures = measure()
    for name, value in figures.items():
        print(f"{name:36} {value:8.2f}")
    return figures


if __name__ == "__main__":
    main()
