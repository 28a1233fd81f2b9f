"""Warm embed workers by model: bots may have vectors of different models, of those that the platform offers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from configs.settings import Settings
from domain.errors import Unavailable
from pipelines.embed_stage import EmbedPool
from pipelines.work import IngestSizing, ingest_sizing


class EmbedPools:
    """The pools of one ingestion driver; each is opened when it is needed first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sizings: dict[str, IngestSizing] = {}
        self._users = 0
        self._last_use = time.monotonic()
        self.open: dict[str, EmbedPool] = {}
        """By model."""

    @property
    def model(self) -> str:
        """The platform's, which bots have unless they were given another one."""
        return self._settings.embedding_model

    @property
    def offered(self) -> tuple[str, ...]:
        """The models that bots may have."""
        return self._settings.offered_embedding_models

    def sizing(self, model: str = "") -> IngestSizing:
        """Raises Unavailable for a model that the platform does not offer any more."""
        model = model or self.model
        if model not in self.offered:
            raise Unavailable(f"This platform does not have the embedding model {model} any more.")
        if model not in self._sizings:
            self._sizings[model] = ingest_sizing(self._settings.with_embedding_model(model))
        return self._sizings[model]

    @contextmanager
    def use(self, model: str = "") -> Iterator[EmbedPool]:
        """The model's workers, which may still be loading: the first batch waits for them. Raises Unavailable."""
        model, sizing = model or self.model, self.sizing(model)
        if model not in self.open:
            self.open[model] = EmbedPool.open(sizing)
        self._users += 1
        try:
            yield self.open[model]
        finally:
            self._users -= 1
            self._last_use = time.monotonic()

    def close_idle(self, seconds: float) -> None:
        """End the workers that nobody has used for so long."""
        if self.open and not self._users and time.monotonic() - self._last_use > seconds:
            self.close()

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1].close()
