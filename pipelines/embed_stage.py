"""The second stage: chunks become vectors in workers that outlive a run, so that a small upload need not wait.

A Ray Data actor pool lives as long as its run: every run would start processes and load the model, several seconds
of work for a document that takes a fraction of one. So the driver hands what Ray Data has parsed to workers kept warm
here: a stage of tasks that only call them would start processes of its own and copy each text and vector once more.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import ray

from pipelines.background import background_environment
from pipelines.work import IngestSizing
from storage.models.embedding import EncoderSpec, Vectors, open_encoder

Batch = dict[str, Any]


class EmbedWorker:
    """A process with its own copy of the model."""

    def __init__(self, spec: EncoderSpec, threads: int) -> None:
        self._encoder = open_encoder(spec, threads=threads, bulk=True)

    def embed(self, texts: list[str]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension)."""
        return self._encoder.encode(texts)


class EmbedPool:
    """The warm workers of one ingestion driver."""

    def __init__(self, workers: list[Any]) -> None:
        self.workers = workers
        self._turn = itertools.count()

    @classmethod
    def open(cls, sizing: IngestSizing) -> Self:
        """Start the workers without waiting for them; the first batch does."""
        worker = ray.remote(EmbedWorker).options(
            num_cpus=sizing.embed_cpus,
            # Embedding has no effects: after a crash a batch is simply computed again.
            max_restarts=-1,
            max_task_retries=2,
            label_selector=sizing.label_selector,
            runtime_env=background_environment(),
        )
        spec = sizing.encoder or EncoderSpec(sizing.weights)
        return cls([worker.remote(spec, sizing.embed_threads) for _ in range(sizing.embed_workers)])

    async def ready(self) -> None:
        """Wait until every worker has its model. Raises RayActorError when one cannot start."""
        await asyncio.gather(*(asyncio.wrap_future(worker.embed.remote(["warm"]).future()) for worker in self.workers))

    def start(self, batch: Batch) -> "Embedding":
        """Hand the batch to the next worker in turn, without waiting for its vectors."""
        present = [place for place, total in enumerate(batch["total"]) if total]
        worker = self.workers[next(self._turn) % len(self.workers)]
        vectors = worker.embed.remote([str(batch["text"][place]) for place in present]) if present else None
        return Embedding(batch, present, vectors)

    def stream(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Every batch with its vectors, in order; each worker has one to compute and one that waits."""
        begun: deque[Embedding] = deque()
        for batch in batches:
            begun.append(self.start(batch))
            if len(begun) > len(self.workers):
                yield begun.popleft().ended()
        while begun:
            yield begun.popleft().ended()

    def close(self) -> None:
        """End the worker processes."""
        for worker in self.workers:
            ray.kill(worker)
        self.workers = []


@dataclass(frozen=True, slots=True)
class Embedding:
    """A batch of rows of the first stage whose vectors a worker computes."""

    batch: Batch
    present: list[int]
    """The rows that have a text; those of failed documents have none."""
    vectors: Any

    def ended(self) -> Batch:
        """The batch with `vector`, float32 of shape (dimension,), None for a failed document.

        Raises RayActorError when the worker died more often than it is started again.
        """
        found: list[Any] = [None] * len(self.batch["total"])
        if self.present:
            for place, vector in zip(self.present, ray.get(self.vectors), strict=True):
                found[place] = vector
        return {**self.batch, "vector": found}
