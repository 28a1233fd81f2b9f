"""Embedder: the one copy of the embedding model that answers questions of all sessions, in shared batches."""

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from hashlib import blake2b

import numpy as np
import structlog

from domain.errors import AppError, Unavailable
from storage.models.embedding import EncoderSpec, TextEncoder, Vectors, open_encoder

log = structlog.get_logger(__name__)

MAX_BATCH = 64
MAX_WAITING = 2_048
STUCK_SECONDS = 60.0


class Embedder:
    """Texts that arrive while a batch is computed make up the next one, so that batching adds no waiting."""

    def __init__(
        self, spec: EncoderSpec, threads: int = 2, cached_vectors: int = 4_096, encoder: TextEncoder | None = None
    ) -> None:
        """`threads` bounds the encoder's own; `encoder` replaces that of `spec`."""
        self._encoder = encoder or open_encoder(spec, threads=threads)
        try:
            self._encoder.encode(["warm"])
        except AppError as error:
            # Somebody else's API may be away while we start.
            log.warning("embedder_not_warm", error=error.message)
        self._cache: OrderedDict[bytes, Vectors] = OrderedDict()
        self._cached_vectors = cached_vectors
        self._waiting: OrderedDict[bytes, tuple[str, asyncio.Future[Vectors]]] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._batch_started: float | None = None

    async def embed(self, texts: list[str]) -> Vectors:
        """One unit vector per text: float32 of shape (n, dimension).

        Raises Unavailable when too many texts wait already, or when the model failed on the batch.
        """
        if not texts:
            return np.zeros((0, self._encoder.dimension), dtype=np.float32)
        if len(self._waiting) + len(texts) > MAX_WAITING:
            raise Unavailable("Too many questions are waiting; try again in a moment.", retry_after=1.0)
        return np.stack(await asyncio.gather(*(self._vector(text) for text in texts)))

    async def dimension(self) -> int:
        """Length of the vectors."""
        return self._encoder.dimension

    def check_health(self) -> None:
        """Serve calls this; a model that hangs on a batch makes the replica be replaced."""
        started = self._batch_started
        if started is not None and time.monotonic() - started > STUCK_SECONDS:
            raise RuntimeError("the embedding model hangs")

    async def _vector(self, text: str) -> Vectors:
        # The digest stands for the text: a long text must not live on as a key.
        key = blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        if key not in self._waiting:
            self._waiting[key] = (text, asyncio.get_running_loop().create_future())
        future = self._waiting[key][1]
        if self._worker is None or self._worker.done():
            # In a context of its own: the request that happens to start the worker must not end it.
            self._worker = asyncio.get_running_loop().create_task(self._work(), context=Context())
        # Another caller may wait for the same text: one that gives up must not take it along.
        return await asyncio.shield(future)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        # Serve hands in calls one by one: let those that are here already join the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            keys = list(self._waiting)[:MAX_BATCH]
            batch = [self._waiting[key] for key in keys]
            self._batch_started = time.monotonic()
            try:
                vectors = await loop.run_in_executor(self._thread, self._encoder.encode, [text for text, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever the model raises is told to the callers
                self._fail(keys, error)
                continue
            finally:
                self._batch_started = None
            for key, vector in zip(keys, vectors, strict=True):
                _, future = self._waiting.pop(key)
                if not future.done():
                    future.set_result(vector)
                self._remember(key, vector)

    def _fail(self, keys: list[bytes], error: Exception) -> None:
        for key in keys:
            _, future = self._waiting.pop(key)
            if not future.done():
                known = isinstance(error, AppError)
                failure = error if known else Unavailable("The question could not be read; try again.")
                failure.__cause__ = None if known else error
                future.set_exception(failure)
                # Callers that were cancelled leave nobody to look at it.
                future.exception()

    def _remember(self, key: bytes, vector: Vectors) -> None:
        self._cache[key] = vector
        if len(self._cache) > self._cached_vectors:
            self._cache.popitem(last=False)
