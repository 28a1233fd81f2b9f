"""The second stage: chunks become vectors in workers that outlive a run, so that a small upload need not wait.

A Ray Data actor pool lives as long as its run: every run would start processes and import torch, several seconds
of work for a document that takes a fraction of one. So the stage is a thin task that calls workers kept warm here.
"""

import asyncio
import os
import random
from typing import Any, Self

import numpy as np
import ray

from pipelines.work import BACKGROUND_NICENESS, IngestSizing
from storage.models.embedding import EncoderSpec, Vectors, open_encoder

Batch = dict[str, Any]


class EmbedWorker:
    """A process with its own copy of the model."""

    def __init__(self, spec: EncoderSpec, threads: int) -> None:
        os.nice(BACKGROUND_NICENESS)  # before the encoder starts threads, which take it over
        self._encoder = open_encoder(spec, threads=threads, bulk=True)

    def embed(self, texts: list[str]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension)."""
        return self._encoder.encode(texts)


class EmbedPool:
    """The warm workers of one ingestion driver."""

    def __init__(self, workers: list[Any]) -> None:
        self.workers = workers

    @classmethod
    def open(cls, sizing: IngestSizing) -> Self:
        """Start the workers without waiting for them; the first batch does."""
        worker = ray.remote(EmbedWorker).options(
            num_cpus=sizing.embed_cpus,
            # Embedding has no effects: after a crash a batch is simply computed again.
            max_restarts=-1,
            max_task_retries=2,
            label_selector=sizing.label_selector,
        )
        spec = sizing.encoder or EncoderSpec(sizing.weights)
        return cls([worker.remote(spec, sizing.embed_threads) for _ in range(sizing.embed_workers)])

    async def ready(self) -> None:
        """Wait until every worker has its model. Raises RayActorError when one cannot start."""
        await asyncio.gather(*(asyncio.wrap_future(worker.embed.remote(["warm"]).future()) for worker in self.workers))

    def close(self) -> None:
        """End the worker processes."""
        for worker in self.workers:
            ray.kill(worker)
        self.workers = []


def embed_chunks(batch: Batch, workers: list[Any]) -> Batch:
    """Add `vector` to a batch of rows of the first stage; rows of failed documents get zeros."""
    texts = [str(text) for text in batch["text"]]
    present = [place for place, total in enumerate(batch["total"]) if total]
    vectors: Vectors = np.zeros((len(texts), 1), dtype=np.float32)
    if present:
        worker = random.choice(workers)
        found: Vectors = ray.get(worker.embed.remote([texts[place] for place in present]))
        vectors = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
        vectors[present] = found
    # Bytes rather than a tensor: batches of failures alone have no dimension, and blocks must share a schema.
    return {**batch, "vector": np.array([vector.tobytes() for vector in vectors], dtype=object)}
