"""Passages with the chunks beside them: bounds, merging, and offsets that stay exact."""

from dataclasses import replace
from uuid import UUID

from domain.chunking import chunk
from domain.documents import Block, Chunk, ParsedDocument, Passage
from domain.ids import DocumentId
from domain.retrieval.neighbours import beside, expanded
from domain.retrieval.result import Fate, Found, Scores

DOCUMENT = DocumentId(UUID(int=7))
SENTENCES = [f"Sentence number {number} speaks of topic {chr(97 + number % 26)} alone." for number in range(40)]


def passage_of(one: Chunk) -> Passage:
    return Passage(DOCUMENT, "guide.md", one.ordinal, one.start, one.end, one.text, one.page, one.section, 0.5, 0.1)


def parsed_of(*sections: tuple[str, str, int]) -> ParsedDocument:
    """A document of texts, each with its section and page."""
    text, blocks = "", []
    for body, section, page in sections:
        text += "\n\n" if text else ""
        blocks.append(Block(len(text), len(text) + len(body), page, section))
        text += body
    return ParsedDocument(text, tuple(blocks))


class Shelf:
    """The chunks of one parsed document."""

    def __init__(self, parsed: ParsedDocument, overlap: int = 9) -> None:
        self.parsed = parsed
        chunks = chunk(parsed, lambda text: len(text.split()), max_tokens=24, overlap_tokens=overlap)
        self.passages = {(DOCUMENT, one.ordinal): passage_of(one) for one in chunks}

    def found(self, *ordinals: int) -> list[Found]:
        return [Found(self.passages[DOCUMENT, ordinal], Scores(), Fate.KEPT, (ordinal,)) for ordinal in ordinals]

    def expanded(self, reach: int, *ordinals: int) -> tuple[list[tuple[int, ...]], list[int]]:
        """The chunks of each passage, and those that became part of another; every offset is checked."""
        kept, merged = expanded(self.found(*ordinals), self.passages, reach)
        for one in kept:
            assert one.passage.text == self.parsed.text[one.passage.start : one.passage.end]
        return [one.ordinals for one in kept], [one.passage.ordinal for one in merged]


def test_neighbours_join_with_overlap_and_without() -> None:
    for overlap in (0, 9):
        shelf = Shelf(parsed_of((" ".join(SENTENCES), "Part", 1)), overlap)
        assert len(shelf.passages) > 8
        assert shelf.expanded(1, 4) == ([(3, 4, 5)], [])
        assert shelf.expanded(2, 0) == ([(0, 1, 2)], [])


def test_neighbours_end_at_the_page_and_at_the_section() -> None:
    first, second, third = (" ".join(SENTENCES[at : at + 12]) for at in (0, 12, 24))
    shelf = Shelf(parsed_of((first, "Part", 1), (second, "Part", 2), (third, "Other", 2)))
    pages = {ordinal: (one.page, one.section) for (_, ordinal), one in shelf.passages.items()}
    for ordinal, page in pages.items():
        [chunks], _ = shelf.expanded(2, ordinal)
        assert {pages[one] for one in chunks} == {page}


def test_passages_that_touch_are_one_in_the_better_place() -> None:
    shelf = Shelf(parsed_of((" ".join(SENTENCES), "Part", 1)))
    assert shelf.expanded(1, 7, 0, 5) == ([(4, 5, 6, 7, 8), (0, 1)], [5])
    assert shelf.expanded(1, 5, 2) == ([(1, 2, 3, 4, 5, 6)], [2])
    # What comes between two others joins all three.
    assert shelf.expanded(1, 2, 8, 5) == ([tuple(range(1, 10))], [5, 8])


def test_a_neighbour_that_is_not_there_ends_the_passage() -> None:
    shelf = Shelf(parsed_of((" ".join(SENTENCES), "Part", 1)))
    del shelf.passages[DOCUMENT, 5]
    assert shelf.expanded(2, 4) == ([(2, 3, 4)], [])


def test_documents_stay_apart() -> None:
    shelf = Shelf(parsed_of((" ".join(SENTENCES), "Part", 1)))
    other = DocumentId(UUID(int=8))
    foreign = {(other, ordinal): replace(one, document_id=other) for (_, ordinal), one in shelf.passages.items()}
    both = {**shelf.passages, **foreign}
    found = [*shelf.found(4), Found(both[other, 5], Scores(), Fate.KEPT, (5,))]
    assert beside(found, 1) == {(DOCUMENT, 3), (DOCUMENT, 4), (DOCUMENT, 5), (other, 4), (other, 5), (other, 6)}
    kept, merged = expanded(found, both, 1)
    assert [one.ordinals for one in kept] == [(3, 4, 5), (4, 5, 6)]
    assert not merged
