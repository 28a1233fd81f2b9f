"""PDF: tables as rows, pages that are pictures, and what the document says of its language."""

import pytest

from pipelines.parsing import pdf, pdf_tables
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.pdf_scans import without_text
from pipelines.parsing.pdf_tables import Table, with_tables
from tests.fixtures import files

PROSE = "A paragraph of prose that is long enough to be wrapped by the page that it is printed on, once or twice. " * 2
STOCK = [
    ["Article", "Price", "In stock"],
    ["Lamp, red", "10.50", "yes"],
    ["Cable 2 m", "3.20", ""],
    ["Tube", "9", "no"],
]


def blocks(data: bytes) -> list[str]:
    parsed = pdf.parse(data, ParseLimits())
    assert {block.page for block in parsed.blocks} == {1}
    return [parsed.text[block.start : block.end] for block in parsed.blocks]


def test_the_rows_of_a_table_name_their_columns() -> None:
    assert blocks(files.table_pdf(STOCK, PROSE, "After it.")) == [
        PROSE.strip(),
        "Article | Price | In stock",
        "Article: Lamp, red | Price: 10.50 | In stock: yes",
        "Article: Cable 2 m | Price: 3.20",
        "Article: Tube | Price: 9 | In stock: no",
        "After it.",
    ]


def test_a_list_of_short_lines_is_no_table() -> None:
    lines = [f"Item number {number}" for number in range(8)]
    assert "\n".join(blocks(files.pdf(["\n".join(lines)]))) == "\n".join(lines)


def test_columns_of_a_newspaper_stay_columns() -> None:
    text = "Left one\nLeft two\nLeft three\nRight one\nRight two\nRight three"
    layout = "Left one      Right one\nLeft two      Right two\nLeft three    Right three"
    assert with_tables(text, layout) == text.split("\n")


@pytest.mark.parametrize("text", ["a\nb\nc\nd\ne\nf", "a b c\nd e f", "a b\nc d\ne f"])
def test_cells_are_found_however_the_text_breaks_them(text: str) -> None:
    layout = "a     b     c\n\nd     e     f"
    assert with_tables(f"Before\n{text}\nafter", layout) == [
        "Before",
        Table((("a", "b", "c"), ("d", "e", "f"))),
        "after",
    ]


def test_a_cell_below_two_columns_ends_the_table() -> None:
    layout = "a     b     c\nd     e     f\nwords below all of them"
    assert with_tables("a\nb\nc\nd\ne\nf\nwords below all of them", layout)[1:] == ["words below all of them"]


def test_looking_for_tables_costs_nothing_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    data = files.table_pdf(STOCK)

    def broken(*_: object) -> list[str]:
        raise AssertionError("prose is not looked at")

    monkeypatch.setattr(pdf, "with_tables", broken)
    assert blocks(files.pdf([PROSE * 3]))
    assert not pdf_tables.may_have_table(PROSE)
    monkeypatch.setattr(pdf, "MAX_TABLE_PAGES", 0)
    assert "Lamp, red" in "\n".join(blocks(data))


def test_pages_that_are_pictures_are_named() -> None:
    parsed = pdf.parse(
        files.joined_pdf(files.pdf(["Text.", ""]), files.image_only_pdf(2), files.pdf(["More."])), ParseLimits()
    )
    assert [block.page for block in parsed.blocks] == [1, 5]
    assert parsed.notice == without_text([3, 4], 5)
    assert parsed.notice.startswith("Pages 3–4 of 5 hold no text")
    assert pdf.parse(files.pdf(["Text.", ""]), ParseLimits()).notice is None


@pytest.mark.parametrize(
    ("pages", "beginning"),
    [
        ([2], "Page 2 of 99 holds no text"),
        ([1, 2, 4], "Pages 1–2 and 4 of 99 hold no text"),
        ([1, 3, 5, 6, 7], "Pages 1, 3 and 5–7 of 99 hold"),
        (list(range(1, 40, 2)), "Pages 1, 3, 5, 7, 9, 11, 13, 15 and 12 others of 99 hold"),
    ],
)
def test_the_sentence_that_names_them(pages: list[int], beginning: str) -> None:
    sentence = without_text(pages, 99)
    assert sentence.startswith(beginning)
    assert len(sentence) <= 300


def test_what_it_says_of_its_language() -> None:
    assert pdf.parse(files.table_pdf(STOCK, lang="de-AT"), ParseLimits()).language == "de"
    assert pdf.parse(files.table_pdf(STOCK, lang="German"), ParseLimits()).language is None
    assert pdf.parse(files.table_pdf(STOCK), ParseLimits()).language is None
