"""Reranker: the one copy of the cross-encoder that orders passages for all sessions."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from domain.errors import Unavailable
from storage.models.reranking import RerankingModel

MAX_WAITING = 8
"""Questions; who is further behind is served sooner by the order that there is."""
MAX_TEXTS = 200
MAX_QUESTION_CHARS = 2_000
STUCK_SECONDS = 60.0


class PairScorer(Protocol):
    """What the reranker needs of a model."""

    def scores(self, question: str, texts: list[str]) -> list[float]:
        """One number per text, higher is better."""


class Reranker:
    """Questions take turns: the pairs of one are a batch already."""

    def __init__(self, weights: str, threads: int = 2, scorer: PairScorer | None = None) -> None:
        """`weights` is a folder or Hugging Face id; `threads` bounds torch; `scorer` replaces the model."""
        self._scorer: PairScorer = scorer or RerankingModel(weights, threads=threads)
        self._scorer.scores("warm", ["warm"])
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._waiting = 0
        self._begun: float | None = None

    async def score(self, question: str, texts: list[str]) -> list[float]:
        """How well each text answers the question.

        Raises Unavailable when too many questions wait already, for too many texts, or when the model fails.
        """
        if self._waiting >= MAX_WAITING or len(texts) > MAX_TEXTS:
            raise Unavailable("Too much waits for the reranker.", retry_after=1.0)
        self._waiting += 1
        try:
            # A caller that gives up takes what has not begun out of the queue.
            scores = await asyncio.get_running_loop().run_in_executor(self._thread, self._score, question, texts)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise Unavailable("The reranker failed.") from error
        finally:
            self._waiting -= 1
        if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
            raise Unavailable("The reranker gave no usable scores.")
        return scores

    def check_health(self) -> None:
        """Serve calls this; a model that hangs makes the replica be replaced."""
        begun = self._begun
        if begun is not None and time.monotonic() - begun > STUCK_SECONDS:
            raise RuntimeError("the reranking model hangs")

    def _score(self, question: str, texts: list[str]) -> list[float]:
        self._begun = time.monotonic()
        try:
            return self._scorer.scores(question[:MAX_QUESTION_CHARS], texts)
        finally:
            self._begun = None
