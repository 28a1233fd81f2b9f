"""How sure the best passages make it that the documents answer."""

import pytest

from domain.retrieval.relevance import UNKNOWN, relevance, shared_words
from domain.retrieval.result import Fate
from domain.retrieval.retrieve import retrieve
from tests.fixtures.retrieval import chunk_of, request_of, retrieval_ports

PRICE = chunk_of(0, "The lamp costs forty euros in every shop.", 0.35)


def test_similarity_and_words_each_make_it_surer() -> None:
    assert relevance(0.1, 0.1) < 0.05
    assert relevance(0.3, 0.2) < 0.4 < relevance(0.3, 0.7)
    assert relevance(0.2, 0.5) < 0.4 < relevance(0.5, 0.3)
    assert relevance(0.9, 1.0) > 0.99
    assert relevance(0.35, 0.0) < 0.4 < relevance(0.42, 0.0)
    assert relevance(None, 0.2) < 0.4 < relevance(None, 0.8)


@pytest.mark.parametrize(
    ("question", "shared"),
    [
        ("What does the lamp cost?", 1.0),
        ("Does it cost forty euros or fifty dollars?", 3 / 5),
        ("What is the capital of France?", 0.0),
        ("Why?", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_words_count_in_any_form(question: str, shared: float) -> None:
    assert shared_words(question, ["Nothing here.", PRICE.text]) == pytest.approx(shared)


def test_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    assert shared_words("東京の天気は", ["東京の天気は晴れです"]) == 1.0
    assert shared_words("東京の天気は", ["大阪で食べる"]) == 0.0
    assert shared_words("東", ["東"]) == 1.0


def test_without_a_passage_nothing_is_shared() -> None:
    assert shared_words("lamp", []) == 0.0


async def test_documents_that_do_not_answer_give_no_passage() -> None:
    ports = retrieval_ports([PRICE, chunk_of(1, "Batteries last for two years.", 0.3)])
    answered = await retrieve(request_of("What does the lamp cost?"), ports)
    assert answered.kept
    assert answered.relevance is not None
    unanswered = await retrieve(request_of("Who painted the ceiling of the Sistine Chapel?"), ports)
    assert unanswered.kept == ()
    assert {found.fate for found in unanswered.dropped} == {Fate.NOT_RELEVANT}
    assert unanswered.relevance is not None
    assert unanswered.relevance < 0.4 < answered.relevance
    forced = await retrieve(request_of("Who painted the ceiling of the Sistine Chapel?", min_relevance=0), ports)
    assert len(forced.kept) == 2


async def test_words_alone_can_make_it_sure() -> None:
    ports = retrieval_ports([PRICE])
    assert (await retrieve(request_of("the lamp costs", mode="text"), ports)).kept
    assert not (await retrieve(request_of("the sistine chapel", mode="text"), ports)).kept
