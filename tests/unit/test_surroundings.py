"""Passages are cut exactly, placed by page and section, and found again where a document was read anew."""

import pytest

from domain.documents import Block
from domain.surroundings import blocks_within, located, page_span, surroundings
from tests.unit.test_chunking import assemble

PARSED = assemble([("First page.", 1, "A"), ("Second 東京 🦓.", 2, "A > B"), ("More.", 2, "A > B")])
TEXT = PARSED.text


def test_a_passage_is_cut_by_characters_with_its_place() -> None:
    start = TEXT.index("東京")
    found = surroundings(PARSED, start, start + 2, 4)
    assert found is not None
    assert (found.before, found.text, found.after) == ("ond ", "東京", " 🦓.\n")
    assert (found.page, found.section) == (2, "A > B")
    whole = surroundings(PARSED, 0, 10**6, 5)
    assert whole is not None
    assert (whole.text, whole.end, whole.before, whole.after) == (TEXT, len(TEXT), "", "")


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 5), (7, 3), (len(TEXT), len(TEXT) + 1), (10**6, 10**6 + 1)])
def test_what_is_not_in_the_text_is_no_passage(start: int, end: int) -> None:
    assert surroundings(PARSED, start, end, 10) is None


def test_a_quotation_is_found_where_it_is_nearest() -> None:
    parsed = assemble([("the lamp is red. the lamp is on. the lamp is red.", None, None)])
    first, second = 0, parsed.text.rindex("the lamp is red")
    assert located(parsed, first, "the lamp is red") == first
    assert located(parsed, second, "the lamp is red") == second
    assert located(parsed, second - 5, "the lamp is red") == second
    assert located(parsed, 5, "the lamp is red") == first
    assert located(parsed, 10**6, "the lamp is red") == second
    assert located(parsed, 0, "the lamp is blue") is None
    assert located(parsed, 0, "") is None


def test_pages_and_blocks_are_spans_of_the_text() -> None:
    span = page_span(PARSED, 2)
    assert span is not None
    assert TEXT[slice(*span)] == "Second 東京 🦓.\n\nMore."
    assert page_span(PARSED, 3) is None
    assert list(blocks_within(PARSED, 6, 20)) == [Block(6, 11, 1, "A"), Block(13, 20, 2, "A > B")]
    assert list(blocks_within(PARSED, 11, 13)) == []
