"""PDF: pages, sections from bookmarks, rejoined lines; and the files that fail with a sentence."""

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing import pdf
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.pdf_scans import without_text
from pipelines.parsing.reflow import Reflow, usual_width
from tests.fixtures import files

WARRANTY = "The warranty covers parts and labour for two years from the day of purchase in any of our shops."


def rows(data: bytes) -> list[tuple[int | None, str | None, str]]:
    parsed = pdf.parse(data, ParseLimits())
    return [(block.page, block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


def paragraphs(*lines: str) -> list[str]:
    return list(Reflow(["\n".join(lines)]).paragraphs(lines, usual_width(lines)))


def test_every_block_has_its_page_and_wrapped_lines_are_one_paragraph() -> None:
    text = f"{WARRANTY} {WARRANTY} {WARRANTY}"
    data = files.pdf([text, "Second page.", text])
    assert rows(data) == [(1, None, text), (2, None, "Second page."), (3, None, text)]
    assert pdf.parse(data, ParseLimits()).pages == 3


def test_a_page_without_text_still_counts() -> None:
    assert rows(files.pdf(["", "Text."])) == [(2, None, "Text.")]


def test_bookmarks_name_the_sections_from_their_line_on() -> None:
    data = files.pdf(
        ["Preface.", f"End of the preface.\n1. Warranty\n{WARRANTY}", "Still warranty.", "Returns\nSend it back."],
        bookmarks={1: "Warranty", 3: "Returns"},
    )
    assert rows(data) == [
        (1, None, "Preface."),
        (2, None, "End of the preface."),
        (2, "Warranty", "1. Warranty"),
        (2, "Warranty", WARRANTY),
        (3, "Warranty", "Still warranty."),
        (4, "Returns", "Returns"),
        (4, "Returns", "Send it back."),
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"no pdf at all", pdf.NOT_PDF),
        (files.pdf(["secret"], password="hunter2"), pdf.PROTECTED),
        (files.image_only_pdf(), without_text([1, 2], 2)),
        (files.pdf(["", ""]), pdf.NO_TEXT),
        (files.pdf_without_pages(), pdf.EMPTY),
        (files.truncated_pdf(), pdf.INCOMPLETE),
        (b"%PDF-1.7\n" + b"\xff" * 5_000 + b"\nstartxref\n9\n%%EOF", pdf.DAMAGED),
    ],
)
def test_bad_files_fail_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        pdf.parse(data, ParseLimits())
    assert str(caught.value) == sentence


def test_a_pdf_that_only_restricts_its_reader_is_read() -> None:
    assert rows(files.pdf(["Printing is forbidden."], owner_password="owner")) == [(1, None, "Printing is forbidden.")]


def test_more_text_than_allowed_is_a_failure() -> None:
    with pytest.raises(IngestionFailure, match="more text than can be processed"):
        pdf.parse(files.pdf(["word " * 50]), ParseLimits(output_bytes=100))


def test_short_lines_keep_their_breaks_and_sentences_end_paragraphs() -> None:
    full = "This line is as long as any line of this page can be, it is"
    assert paragraphs(full, "wrapped here.", "Next paragraph", "- item one", "- item two", "", "After a gap") == [
        f"{full} wrapped here.",
        "Next paragraph\n- item one\n- item two",
        "After a gap",
    ]


@pytest.mark.parametrize(
    ("line", "following", "expected"),
    [
        ("A full line of words that ends in the middle of some infor-", "mation here.", "some information here."),
        ("A full line of words that ends in the middle of some well-", "known name; well-known.", "well-known name;"),
        ("A full line of words that ends with a dash and a name, Jean-", "Paul is here.", "Jean- Paul is here."),
    ],
)
def test_broken_words_become_whole_and_compounds_keep_their_hyphen(line: str, following: str, expected: str) -> None:
    (only,) = paragraphs(line, following)
    assert expected in only
