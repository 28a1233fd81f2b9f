"""The embedder's batching, cache and failures, with an encoder that counts."""

import asyncio
import threading

import numpy as np
import pytest

from deployments.retrieval.embedder import MAX_BATCH, MAX_WAITING, Embedder
from domain.errors import Unavailable
from storage.models.embedding import EncoderSpec, Vectors
from tests.fixtures.conditions import eventually


class CountingEncoder:
    dimension = 3

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, texts: list[str]) -> Vectors:
        self.gate.wait(10)
        self.batches.append(list(texts))
        if "poison" in texts:
            raise RuntimeError("kernel failed")
        return np.array([[len(text), 1, 0] for text in texts], dtype=np.float32)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def embedder(encoder: CountingEncoder) -> Embedder:
    embedder = Embedder(EncoderSpec(""), encoder=encoder, cached_vectors=10)
    encoder.batches.clear()
    return embedder


async def test_vectors_keep_the_order_of_the_texts(embedder: Embedder) -> None:
    vectors = await embedder.embed(["aaa", "b", "aaa"])
    assert vectors.dtype == np.float32
    assert vectors[:, 0].tolist() == [3, 1, 3]
    assert (await embedder.embed([])).shape == (0, await embedder.dimension())


async def test_callers_share_batches_and_equal_texts(embedder: Embedder, encoder: CountingEncoder) -> None:
    encoder.gate.clear()
    calls = [asyncio.create_task(embedder.embed([f"text {number % 50}"])) for number in range(100)]
    await asyncio.sleep(0)
    encoder.gate.set()
    await asyncio.gather(*calls)
    texts = [text for batch in encoder.batches for text in batch]
    assert sorted(texts) == sorted({f"text {number}" for number in range(50)})
    assert len(encoder.batches) <= 2


async def test_a_batch_is_bounded(embedder: Embedder, encoder: CountingEncoder) -> None:
    await embedder.embed([str(number) for number in range(3 * MAX_BATCH)])
    assert max(map(len, encoder.batches)) <= MAX_BATCH


async def test_known_texts_are_not_computed_again(embedder: Embedder, encoder: CountingEncoder) -> None:
    await embedder.embed(["known"])
    await embedder.embed([str(number) for number in range(9)])
    await embedder.embed(["known"])
    assert sum(batch.count("known") for batch in encoder.batches) == 1
    await embedder.embed([f"other {number}" for number in range(10)])
    await embedder.embed(["known"])
    assert sum(batch.count("known") for batch in encoder.batches) == 2


async def test_a_failed_batch_is_told_and_the_next_one_works(embedder: Embedder) -> None:
    with pytest.raises(Unavailable):
        await embedder.embed(["poison"])
    assert (await embedder.embed(["fine"])).shape == (1, 3)


async def test_a_caller_that_gives_up_does_not_take_others_along(embedder: Embedder, encoder: CountingEncoder) -> None:
    encoder.gate.clear()
    leaving, staying = (asyncio.create_task(embedder.embed(["same"])) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    encoder.gate.set()
    assert (await staying).shape == (1, 3)
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_flood_is_refused(embedder: Embedder, encoder: CountingEncoder) -> None:
    encoder.gate.clear()
    flood = asyncio.create_task(embedder.embed([str(number) for number in range(MAX_WAITING)]))
    await eventually(lambda: len(embedder._waiting) == MAX_WAITING)
    with pytest.raises(Unavailable) as refused:
        await embedder.embed(["one more"])
    assert refused.value.retry_after
    encoder.gate.set()
    assert len(await flood) == MAX_WAITING


async def test_health_tells_a_model_that_hangs(embedder: Embedder) -> None:
    embedder.check_health()
    embedder._batch_started = -1_000_000.0
    with pytest.raises(RuntimeError):
        embedder.check_health()


async def test_hostile_text_is_only_text(embedder: Embedder) -> None:
    assert (await embedder.embed(["\x00", "\ud800", "x" * 16_000, ""])).shape == (4, 3)
