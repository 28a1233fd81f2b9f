"""Chunks have exact spans, fit their budget, keep to pages and together hold all of the text."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.chunking import chunk, cut
from domain.chunking_config import ChunkingConfig, ChunkingStrategy
from domain.documents import Block, Chunk, ParsedDocument


def words(text: str) -> int:
    return len(text.split())


def characters(text: str) -> int:
    """A tokenizer that makes a token of every visible character: a long word exceeds any budget."""
    return sum(not char.isspace() for char in text)


def assemble(parts: list[tuple[str, int | None, str | None]], gap: str = "\n\n") -> ParsedDocument:
    """A document of blocks (text, page, section) in order."""
    text, blocks = "", []
    for part, page, section in parts:
        text += gap if text else ""
        blocks.append(Block(len(text), len(text) + len(part), page, section))
        text += part
    return ParsedDocument(text, tuple(blocks), max((page for _, page, _ in parts if page), default=None))


def sentences(number: int, length: int = 10, name: str = "W") -> str:
    return " ".join(" ".join(f"{name}{s}x{i}" for i in range(length - 1)) + f" End{s}." for s in range(number))


def overlap(left: Chunk, right: Chunk) -> int:
    return max(0, left.end - right.start)


VISIBLE = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=120)
PROSE = st.lists(
    st.sampled_from(["word", "Dr.", "3.14", "end.", "Why?", "“No!”", "。", "é", "x" * 40, "\n", "\n\n", "e.g.", "…"]),
    min_size=1,
    max_size=80,
).map(" ".join)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    parts: list[tuple[str, int | None, str | None]] = []
    page = 1
    for text in draw(st.lists(st.one_of(VISIBLE, PROSE), max_size=12)):
        page += draw(st.sampled_from([0, 0, 0, 1]))
        if text.strip():
            parts.append((text, page, draw(st.sampled_from([None, "A", "A > B"]))))
    return assemble(parts, draw(st.sampled_from(["\n", "\n\n", "  \n\n "])))


@settings(deadline=None, database=None)  # The machine may be busy.
@given(documents(), st.integers(1, 60), st.data(), st.sampled_from([words, characters]))
def test_spans_limits_pages_and_coverage_hold_for_any_document(
    parsed: ParsedDocument, max_tokens: int, data: st.DataObject, count: Callable[[str], int]
) -> None:
    overlap_tokens = data.draw(st.integers(0, max_tokens - 1))
    kept = {name: data.draw(st.booleans()) for name in ("fixed", "respect_sections", "respect_pages")}
    chunks = chunk(parsed, count, max_tokens=max_tokens, overlap_tokens=overlap_tokens, **kept)

    page_of = {i: block.page for block in parsed.blocks for i in range(block.start, block.end)}
    covered: set[int] = set()
    for number, piece in enumerate(chunks):
        assert piece.ordinal == number
        assert piece.text == parsed.text[piece.start : piece.end]
        assert piece.text
        assert piece.text == piece.text.strip()
        assert count(piece.text) <= max_tokens
        pages = [page_of[i] for i in range(piece.start, piece.end) if i in page_of]
        assert pages[0] == piece.page
        assert not kept["respect_pages"] or set(pages) == {piece.page}
        covered.update(range(piece.start, piece.end))
    assert all(char.isspace() or i in covered for i, char in enumerate(parsed.text))
    for left, right in pairwise(chunks):
        assert left.start < right.start
        assert left.end < right.end
        if overlap(left, right):
            assert count(parsed.text[right.start : left.end]) <= overlap_tokens


def test_nothing_makes_no_chunks() -> None:
    assert chunk(ParsedDocument("", ()), words) == []


def test_small_blocks_of_a_section_become_one_chunk() -> None:
    parsed = assemble([("One.", 1, "A"), ("Two.", 1, "A"), ("Three.", 1, "A")])
    (only,) = chunk(parsed, words)
    assert only.text == parsed.text
    assert (only.page, only.section) == (1, "A")


def test_a_page_always_ends_a_chunk() -> None:
    chunks = chunk(assemble([("One.", 1, None), ("Two.", 2, None)]), words)
    assert [(c.text, c.page) for c in chunks] == [("One.", 1), ("Two.", 2)]


def test_a_section_ends_a_chunk_unless_it_is_tiny() -> None:
    parsed = assemble([("Title", None, "T"), (sentences(5), None, "T > A"), (sentences(5, name="V"), None, "T > B")])
    chunks = chunk(parsed, words)
    assert [c.section for c in chunks] == ["T > A", "T > B"]
    assert chunks[0].text.startswith("Title")
    assert chunks[1].text.startswith("V0")


def test_chunks_end_at_sentences_and_overlap_by_whole_ones() -> None:
    chunks = chunk(assemble([(sentences(60), 1, None)]), words, max_tokens=100, overlap_tokens=25)
    assert len(chunks) > 5
    for left, right in pairwise(chunks):
        assert left.text.endswith(".")
        shared = left.text[-overlap(left, right) :]
        assert words(shared) == 20
        assert right.text.startswith(shared)
        assert shared.split()[0].endswith("x0")


def test_a_block_that_would_be_torn_starts_a_chunk_of_its_own() -> None:
    parsed = assemble([(sentences(7), 1, None), (sentences(7, name="V"), 1, None)])
    first, second = chunk(parsed, words, max_tokens=100, overlap_tokens=0)
    assert first.text == sentences(7)
    assert second.text == sentences(7, name="V")


def test_abbreviations_and_numbers_do_not_end_sentences() -> None:
    text = "See Dr. Miller, e.g. on Fig. 3.1 of no. 7 there. " * 3
    chunks = chunk(assemble([(text.strip(), None, None)]), words, max_tokens=11, overlap_tokens=0)
    assert [c.text for c in chunks] == ["See Dr. Miller, e.g. on Fig. 3.1 of no. 7 there."] * 3


def test_a_long_sentence_falls_into_lines_then_words() -> None:
    rows = "\n".join(f"row {number} | " + "cell " * 6 for number in range(40)).strip()
    chunks = chunk(assemble([(rows, None, None)]), words, max_tokens=50, overlap_tokens=9)
    assert all(c.text.startswith("row") for c in chunks)
    flow = " ".join(f"word{number}" for number in range(500))
    chunks = chunk(assemble([(flow, None, None)]), words, max_tokens=50, overlap_tokens=10)
    assert all(words(c.text) <= 50 for c in chunks)
    assert overlap(chunks[0], chunks[1]) > 0


def test_an_enormous_word_is_cut_even_where_the_tokenizer_counts_it_as_one() -> None:
    parsed = assemble([("start " + "a" * 50_000 + " end", None, None)])
    chunks = chunk(parsed, words, max_tokens=100)
    assert max(len(c.text) for c in chunks) <= 100 * 12 + 100
    assert chunks[0].text.startswith("start a")
    assert chunks[-1].text.endswith("a end")


def test_counting_and_scanning_stay_linear_for_hostile_text() -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return words(text)

    for text in (
        "." * 100_000,
        "a. " * 50_000,
        "x" + " " * 100_000 + "y",
        '?"' * 50_000,
        "a\n" * 50_000,
        "z" * 200_000,
    ):
        counted = 0
        chunk(assemble([(text, None, None)]), count)
        assert counted < 25 * len(text)


def test_the_overlap_must_be_smaller_than_a_chunk() -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunk(ParsedDocument("", ()), words, max_tokens=10, overlap_tokens=10)


def test_fixed_windows_are_as_full_as_they_can_be_and_overlap_by_words() -> None:
    parsed = assemble([(sentences(9), 1, "A"), (sentences(3), 1, "A")])
    chunks = chunk(parsed, words, max_tokens=32, overlap_tokens=8, fixed=True)
    assert [words(piece.text) for piece in chunks[:-1]] == [32] * (len(chunks) - 1)
    assert {words(parsed.text[right.start : left.end]) for left, right in pairwise(chunks)} == {8}


def test_fixed_windows_of_a_text_without_spaces_overlap_too() -> None:
    parsed = assemble([("東京" * 200, None, None)])
    chunks = chunk(parsed, characters, max_tokens=64, overlap_tokens=16, fixed=True)
    assert all(0 < overlap(left, right) <= 16 for left, right in pairwise(chunks))


def test_chunks_go_on_over_sections_and_pages_when_they_may() -> None:
    parsed = assemble([(sentences(2), 1, "A"), (sentences(2), 1, "B"), (sentences(2), 2, "B")])
    assert [piece.page for piece in chunk(parsed, words, max_tokens=60)] == [1, 1, 2]
    free = chunk(parsed, words, max_tokens=60, respect_sections=False)
    assert [(piece.page, words(piece.text)) for piece in free] == [(1, 40), (2, 20)]
    [whole] = chunk(parsed, words, max_tokens=60, respect_sections=False, respect_pages=False)
    assert (whole.page, whole.start, whole.end) == (1, 0, len(parsed.text))
    carried = chunk(parsed, words, max_tokens=40, overlap_tokens=10, respect_sections=False, respect_pages=False)
    assert [piece.page for piece in carried] == [1, 1]
    assert carried[1].start < parsed.blocks[2].start


def test_settings_decide_how_a_document_is_cut() -> None:
    parsed = assemble([(sentences(40), 1, "A"), (sentences(4), 2, "B")])
    assert cut(parsed, words, ChunkingConfig()) == chunk(parsed, words, max_tokens=200, overlap_tokens=30)
    config = ChunkingConfig(strategy=ChunkingStrategy.FIXED, max_tokens=50, overlap_tokens=5, respect_pages=False)
    assert cut(parsed, words, config) == chunk(
        parsed, words, max_tokens=50, overlap_tokens=5, fixed=True, respect_pages=False
    )
