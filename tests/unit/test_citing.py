"""Citations point to the passage and the sentence that support the answer."""

from domain.citing import MAX_SNIPPET, cite
from tests.fixtures.twins import passage

SHIPPING = passage("Orders leave the warehouse daily. Delivery to Norway takes 9 days.", start=100, page=2)
PRICE = passage("The lamp costs 40 euros. It is blue.", start=500, page=5, ordinal=1)


def test_the_supporting_passage_is_cited_first() -> None:
    citations = cite("What does the lamp cost?", "The lamp costs 40 euros.", [SHIPPING, PRICE])
    assert [(c.position, c.page) for c in citations] == [(1, 5)]


def test_the_span_is_the_sentence() -> None:
    [citation] = cite("How long to Norway?", "Delivery takes 9 days.", [SHIPPING, PRICE])
    assert citation.snippet == "Delivery to Norway takes 9 days."
    assert SHIPPING.text[citation.start - 100 : citation.end - 100] == citation.snippet


def test_no_overlap_falls_back_to_the_best_ranked() -> None:
    [citation] = cite("?", "Yes", [SHIPPING, PRICE])
    assert citation.page == 2


def test_nothing_to_cite() -> None:
    assert cite("a", "b", []) == []
    assert cite("a", "  ", [PRICE]) == []


def test_at_most_three_and_short_snippets() -> None:
    same = [passage("The lamp costs 40 euros " + "and more " * 200, ordinal=n) for n in range(6)]
    citations = cite("lamp?", "The lamp costs 40 euros", same)
    assert [c.position for c in citations] == [1, 2, 3]
    assert all(len(c.snippet) <= MAX_SNIPPET for c in citations)
