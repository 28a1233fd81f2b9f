"""Plain text: encodings, binary content, paragraphs, and what every parser's text is cleaned of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.assembly import Assembly, SectionPath, tidy
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import BINARY, EMPTY, UNKNOWN_ENCODING, parse
from tests.fixtures import files

RUSSIAN = "Это обычный русский текст в старой кодировке, и он достаточно длинный, чтобы его узнать."


def blocks(parsed: ParsedDocument) -> list[str]:
    return [parsed.text[block.start : block.end] for block in parsed.blocks]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"One line.\r\nNext line.\r\n\r\n \r\nSecond  paragraph.\r", ["One line.\nNext line.", "Second paragraph."]),
        ("Grüße, 世界".encode(), ["Grüße, 世界"]),
        ("Grüße, 世界".encode("utf-8-sig"), ["Grüße, 世界"]),
        ("Grüße, 世界".encode("utf-16"), ["Grüße, 世界"]),
        ("Grüße, 世界".encode("utf-32"), ["Grüße, 世界"]),
        ("Café résumé naïve.".encode("cp1252"), ["Café résumé naïve."]),
        ("“Quoted” – 5 €".encode("cp1252"), ["“Quoted” – 5 €"]),
        (RUSSIAN.encode("cp1251"), [RUSSIAN]),
        ("é".encode() * 500 + b"\xff rest", ["é" * 500 + "\ufffd rest"]),
    ],
)
def test_text_is_decoded_and_split_into_paragraphs(data: bytes, expected: list[str]) -> None:
    assert blocks(parse(data, ParseLimits())) == expected


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (files.text_with_nul(), BINARY),
        ("NUL\x00 in UTF-16".encode("utf-16"), BINARY),
        (bytes(range(1, 32)) * 10, BINARY),
        (files.invalid_utf8_text(), UNKNOWN_ENCODING),
        (b" \n\t\n ", EMPTY),
        (b"\xef\xbb\xbf", EMPTY),
    ],
)
def test_what_is_not_text_fails_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure, match=f"^{sentence}$"):
        parse(data, ParseLimits())


@settings(deadline=None, database=None)  # The machine may be busy.
@given(st.binary(max_size=300))
def test_any_bytes_give_clean_text_or_a_sentence(data: bytes) -> None:
    try:
        parsed = parse(data, ParseLimits())
    except IngestionFailure:
        return
    parsed.text.encode("utf-8")
    assert "\x00" not in parsed.text
    assert "\r" not in parsed.text


@settings(deadline=None, database=None)  # The machine may be busy.
@given(st.text(st.characters(exclude_categories=[])), st.booleans())
def test_tidy_text_is_valid_and_stays_as_it_is(text: str, verbatim: bool) -> None:
    clean = tidy(text, verbatim=verbatim)
    clean.encode("utf-8")
    assert not set(clean) & set("\x00\r\u00ad\ufeff")
    assert tidy(clean, verbatim=verbatim) == clean


def test_surrogates_are_paired_or_replaced() -> None:
    assert tidy("\ud83d\ude00 \ud83d") == "😀 \ufffd"


def test_verbatim_text_keeps_its_indentation() -> None:
    assert tidy("\n    a:\n\tb  \n", verbatim=True) == "    a:\n\tb"


def test_assembled_offsets_are_exact_and_only_white_space_lies_between_blocks() -> None:
    assembly = Assembly()
    assembly.add("  First  one ", page=1)
    assembly.add("\u200b ", page=1)
    assembly.add("- item", page=2, section="S", tight=True)
    parsed = assembly.document(empty="Nothing.", pages=2)
    assert parsed.text == "First one\n- item"
    assert blocks(parsed) == ["First one", "- item"]
    assert [(block.page, block.section) for block in parsed.blocks] == [(1, None), (2, "S")]


def test_sections_end_at_headings_of_their_level() -> None:
    sections = SectionPath()
    assert sections.path is None
    for level, title, path in ((1, "A", "A"), (3, "B\nb", "A > B b"), (2, "C", "A > C"), (2, " ", "A"), (1, "D", "D")):
        sections.enter(level, title)
        assert sections.path == path
