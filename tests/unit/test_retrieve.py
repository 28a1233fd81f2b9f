"""The stages of a retrieval, over twins of its ports."""

import pytest
from pydantic import ValidationError

from domain.errors import Unavailable
from domain.generation import PromptMessage
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import Fate, Found, Reranking, Retrieval
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from tests.fixtures.retrieval import (
    DOCUMENT,
    TwinDocuments,
    TwinEmbedder,
    TwinReranker,
    TwinSearch,
    chunk_of,
    request_of,
    retrieval_ports,
)

LAMPS = [
    chunk_of(0, "the red lamp costs forty euros", 0.7),
    chunk_of(1, "the blue lamp costs fifty euros", 0.6),
    chunk_of(2, "batteries last for two years", 0.5),
    chunk_of(3, "our shop is in the old town", 0.1),
]


def ordinals(found: tuple[Found, ...]) -> list[int]:
    return [one.passage.ordinal for one in found]


def fates(result: Retrieval) -> dict[int, Fate]:
    return {one.passage.ordinal: one.fate for one in (*result.kept, *result.dropped)}


async def test_every_candidate_has_its_scores_and_its_fate() -> None:
    ports = retrieval_ports(LAMPS)
    result = await retrieve(request_of("blue fifty", top_k=2), ports)
    assert ordinals(result.kept) == [1, 0]
    best = result.kept[0]
    assert (best.scores.vector_rank, best.scores.text_rank, best.scores.bm25) == (2, 1, 2.0)
    assert best.scores.fused == best.passage.score == pytest.approx(1 / 12 + 1.5 / 11)
    assert fates(result) == {0: Fate.KEPT, 1: Fate.KEPT, 2: Fate.BEYOND_TOP_K, 3: Fate.BELOW_MIN_SCORE}
    assert result.query == "blue fifty"
    assert not result.rewritten
    assert set(result.timings) == {"rewrite", "embed", "search", "fuse", "collapse", "judge", "total"}


async def test_modes_ask_only_for_what_they_need() -> None:
    embedder, search = TwinEmbedder(), TwinSearch(LAMPS)
    by_vector = await retrieve(request_of("town", mode="vector"), RetrievalPorts(embedder, search, TwinDocuments()))
    assert ordinals(by_vector.kept) == [0, 1, 2]
    assert search.queries[-1].text is None
    by_text = await retrieve(request_of("town", mode="text"), RetrievalPorts(embedder, search, TwinDocuments()))
    assert ordinals(by_text.kept) == [3]
    assert search.queries[-1].vector is None
    assert by_text.kept[0].scores.similarity is None
    assert embedder.embedded == ["town"]


async def test_weights_decide_between_meaning_and_words() -> None:
    ports = retrieval_ports(LAMPS)
    for weight, first in ((0.0, 0), (10.0, 2)):
        result = await retrieve(request_of("batteries", text_weight=weight), ports)
        assert ordinals(result.kept)[0] == first
    assert ordinals((await retrieve(request_of("batteries", vector_weight=0.0), ports)).kept) == [2]


async def test_candidates_bound_each_search() -> None:
    search = TwinSearch(LAMPS)
    for candidates, top_k, depth in ((50, 5, 50), (3, 10, 10)):
        await retrieve(
            request_of("x", candidates=candidates, top_k=top_k), RetrievalPorts(TwinEmbedder(), search, TwinDocuments())
        )
        assert search.queries[-1].depth == depth


async def test_a_cross_encoder_changes_the_order() -> None:
    reranker = TwinReranker("batteries")
    ports = retrieval_ports(LAMPS, reranker)
    result = await retrieve(request_of("lamp", rerank="on", top_k=1), ports)
    assert ordinals(result.kept) == [2]
    assert result.kept[0].scores.rerank == 1.0
    assert result.reranking is Reranking.DONE
    assert reranker.asked == ["lamp"]
    assert (await retrieve(request_of("lamp", top_k=1), ports)).reranking is Reranking.OFF
    assert len(reranker.asked) == 1


@pytest.mark.parametrize("reranker", [None, TwinReranker(failure=Unavailable())])
async def test_the_fused_order_stays_while_the_cross_encoder_is_away(reranker: TwinReranker | None) -> None:
    ports = retrieval_ports(LAMPS, reranker)
    result = await retrieve(request_of("blue fifty", rerank="on"), ports)
    assert ordinals(result.kept) == [1, 0, 2]
    assert result.reranking is Reranking.AWAY


async def test_near_duplicates_count_once() -> None:
    text = "the lamp comes with a warranty that begins on the day of the purchase and covers the battery as well"
    stored = [
        chunk_of(0, text, 0.9),
        chunk_of(1, text + " yes", 0.8),
        chunk_of(2, "the lamp is blue", 0.7),
    ]
    ports = retrieval_ports(stored)
    result = await retrieve(request_of("warranty", top_k=2), ports)
    assert ordinals(result.kept) == [0, 2]
    [twin] = [one for one in result.dropped if one.fate is Fate.DUPLICATE]
    assert twin.passage.ordinal == 1
    assert twin.because_of == result.kept[0].key
    shown = await retrieve(request_of("warranty", top_k=2, near_duplicates=None), ports)
    assert ordinals(shown.kept) == [0, 1]


async def test_neighbours_go_along_and_touching_passages_are_one() -> None:
    search = TwinSearch(
        [chunk_of(place, f"w{place} " + "x " * 45, 0.9 if place in (2, 4) else 0.1) for place in range(8)]
    )
    ports = RetrievalPorts(TwinEmbedder(), search, TwinDocuments())
    result = await retrieve(request_of("zzz", neighbours=1, candidates=2, top_k=2), ports)
    [one] = result.kept
    assert one.ordinals == (1, 2, 3, 4, 5)
    assert (one.passage.start, one.passage.end) == (100, 500 + len(search.stored[5].text))
    assert len(one.passage.text) == one.passage.end - one.passage.start
    assert [(f.passage.ordinal, f.fate) for f in result.dropped] == [(4, Fate.MERGED)]
    assert len(search.read) == 3


async def test_a_follow_up_is_searched_for_with_its_topic() -> None:
    embedder, search = TwinEmbedder(), TwinSearch(LAMPS)
    history = (PromptMessage("user", "Is there a blue lamp?"), PromptMessage("assistant", "Yes."))
    result = await retrieve(request_of("How much is it?", *history), RetrievalPorts(embedder, search, TwinDocuments()))
    assert result.query == "Is there a blue lamp? How much is it?"
    assert result.rewritten
    assert embedder.embedded == [search.queries[0].text] == [result.query]
    plain = await retrieve(
        request_of("How much is it?", *history, rewrite="off"), RetrievalPorts(embedder, search, TwinDocuments())
    )
    assert plain.query == "How much is it?"


async def test_only_documents_that_pass_the_filter_are_searched() -> None:
    documents = TwinDocuments()
    ports = retrieval_ports(LAMPS, documents=documents)
    unfiltered = await retrieve(request_of("lamp"), ports)
    assert (documents.asked, unfiltered.documents) == (0, None)
    for matches, kept in (([DOCUMENT], 3), ([], 0)):
        documents.matches = matches
        result = await retrieve(request_of("lamp", filters={"languages": ["en"]}), ports)
        assert (len(result.kept), result.documents) == (kept, len(matches))


async def test_a_bot_without_documents_has_no_passages() -> None:
    result = await retrieve(request_of("x", rerank="on", neighbours=2), retrieval_ports([]))
    assert result.passages == []
    assert result.reranking is Reranking.OFF


def test_old_configurations_load_and_wrong_ones_do_not() -> None:
    old = RetrievalConfig.model_validate({"top_k": 3, "min_score": 0.2, "grounding": "open"})
    assert (old.top_k, old.mode, old.rerank) == (3, "hybrid", "off")
    for wrong in ({"neighbours": 3}, {"candidates": 10_000}, {"mode": "magic"}, {"rrf_k": 0}, {"vector_weight": -1}):
        with pytest.raises(ValidationError):
            RetrievalConfig.model_validate(wrong)
