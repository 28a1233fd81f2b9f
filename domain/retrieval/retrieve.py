"""One retrieval, pure: rewrite → filter → embed → search → fuse → judge → rerank → collapse → expand."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.errors import AppError
from domain.fusion import fuse_ranks
from domain.ports import ChunkSearch, DocumentChooser, QueryEmbedder, Reranker
from domain.retrieval.follow_up import standalone
from domain.retrieval.near_duplicates import Wording
from domain.retrieval.neighbours import beside, expanded
from domain.retrieval.relevance import JUDGED, relevance, shared_words
from domain.retrieval.result import (
    Candidates,
    ChunkKey,
    ChunkQuery,
    Fate,
    Found,
    Reranking,
    Retrieval,
    RetrievalRequest,
    Scores,
)


@dataclass(frozen=True, slots=True)
class RetrievalPorts:
    embedder: QueryEmbedder
    search: ChunkSearch
    documents: DocumentChooser | None = None
    """Whoever takes requests with filters needs one."""
    reranker: Reranker | None = None
    """None where the platform has no cross-encoder."""


class _Clock:
    """Milliseconds from mark to mark."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self.timings: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        now = time.perf_counter()
        self.timings[stage] = round(1000 * (now - self._last), 3)
        self._last = now

    def ended(self) -> dict[str, float]:
        return self.timings | {"total": round(1000 * (self._last - self._begun), 3)}


async def retrieve(request: RetrievalRequest, ports: RetrievalPorts) -> Retrieval:
    """The passages that answer the question, with what every stage made of the candidates.

    Raises Unavailable when the question cannot be embedded.
    """
    clock, config = _Clock(), request.config
    query = request.query or (None if config.rewrite == "off" else standalone(request.question, request.history))
    rewritten, query = query not in (None, request.question), query or request.question
    clock.mark("rewrite")
    documents = None
    if config.filters is not None and not config.filters.empty:
        assert ports.documents is not None
        documents = await ports.documents.matching(request.tenant_id, request.chatbot_id, config.filters)
        clock.mark("filter")
    vector = None
    if config.mode != "text":
        [vector] = await ports.embedder.embed([query])
        clock.mark("embed")
    candidates = await ports.search.find(
        ChunkQuery(
            request.tenant_id,
            request.chatbot_id,
            max(config.candidates, config.top_k),
            vector=vector,
            text=None if config.mode == "vector" else query,
            documents=documents,
            section=config.section,
        )
    )
    clock.mark("search")
    ranked, dropped = _fused(request, candidates, has_vector=vector is not None)
    clock.mark("fuse")
    sure = _relevance(query, ranked[:JUDGED])
    clock.mark("judge")
    if sure is not None and sure < config.min_relevance:
        dropped = (*(replace(found, fate=Fate.NOT_RELEVANT) for found in ranked), *dropped)
        ranked = ()
    reranking = Reranking.OFF
    if config.rerank == "on" and ranked:
        ranked, reranking = await _reranked(query, ranked, ports.reranker)
        clock.mark("rerank")
    kept, rest = _collapsed(ranked, config.top_k, config.near_duplicates)
    clock.mark("collapse")
    if config.neighbours and kept:
        missing = beside(kept, config.neighbours) - candidates.passages.keys()
        chunks = await ports.search.chunks(request.tenant_id, request.chatbot_id, missing) if missing else {}
        kept, merged = expanded(kept, {**candidates.passages, **chunks}, config.neighbours)
        rest = (*rest, *merged)
        clock.mark("expand")
    return Retrieval(
        query=query,
        kept=kept,
        dropped=(*rest, *dropped),
        rewritten=rewritten,
        reranking=reranking,
        relevance=sure,
        documents=None if documents is None else len(documents),
        timings=clock.ended(),
    )


def _fused(
    request: RetrievalRequest, found: Candidates, *, has_vector: bool
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """The candidates by their fused ranks, and those that are too unlike the question."""
    config = request.config
    similar = {key for key, one in found.passages.items() if not has_vector or one.similarity >= config.min_score}
    vector_ranks = {key: rank for rank, key in enumerate(found.by_vector, start=1)}
    text_ranks = {key: (rank, bm25) for rank, (key, bm25) in enumerate(found.by_text, start=1)}
    rankings = [[key for key in ranking if key in similar] for ranking in (vector_ranks, text_ranks)]
    fused = fuse_ranks(rankings, config.rrf_k, (config.vector_weight, config.text_weight))

    def scored(key: ChunkKey, fate: Fate) -> Found:
        passage, (text_rank, bm25) = found.passages[key], text_ranks.get(key, (None, None))
        scores = Scores(
            similarity=passage.similarity if has_vector else None,
            vector_rank=vector_ranks.get(key),
            bm25=bm25,
            text_rank=text_rank,
            fused=fused.get(key, 0.0),
        )
        return Found(replace(passage, score=scores.fused), scores, fate, (passage.ordinal,))

    ranked = tuple(scored(key, Fate.BEYOND_TOP_K) for key in fused)
    return ranked, tuple(scored(key, Fate.BELOW_MIN_SCORE) for key in found.passages if key not in fused)


async def _reranked(
    query: str, ranked: tuple[Found, ...], reranker: Reranker | None
) -> tuple[tuple[Found, ...], Reranking]:
    """By the cross-encoder's scores; as they are when it is away."""
    if reranker is None:
        return ranked, Reranking.AWAY
    try:
        scores = await reranker.score(query, [found.passage.text for found in ranked])
    except AppError:
        return ranked, Reranking.AWAY
    scored = [
        replace(found, scores=replace(found.scores, rerank=score)) for found, score in zip(ranked, scores, strict=True)
    ]
    return tuple(sorted(scored, key=lambda found: -(found.scores.rerank or 0.0))), Reranking.DONE


def _collapsed(
    ranked: Sequence[Found], top_k: int, threshold: float | None
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """The best `top_k` that are no near duplicates of better ones, and the others."""
    kept: list[tuple[Found, Wording | None]] = []
    rest: list[Found] = []
    for place, found in enumerate(ranked):
        if len(kept) == top_k:
            rest += ranked[place:]
            break
        wording = None if threshold is None else Wording(found.passage.text)
        twin = next((one for one, other in kept if _alike(wording, other, threshold)), None)
        if twin is not None:
            rest.append(replace(found, fate=Fate.DUPLICATE, because_of=twin.key))
        else:
            kept.append((replace(found, fate=Fate.KEPT), wording))
    return tuple(found for found, _ in kept), tuple(rest)


def _alike(wording: Wording | None, other: Wording | None, threshold: float | None) -> bool:
    return wording is not None and other is not None and wording.resembles(other, threshold or 1.0)


def _relevance(query: str, best: Sequence[Found]) -> float | None:
    if not best:
        return None
    similarities = [found.scores.similarity for found in best if found.scores.similarity is not None]
    shared = shared_words(query, (found.passage.text for found in best))
    return round(relevance(max(similarities, default=None), shared), 4)
