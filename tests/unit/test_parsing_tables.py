"""Spreadsheets and CSV: every row tells its columns' names; separators, encodings and broken files."""

from datetime import date, datetime

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing import csv, xlsx
from pipelines.parsing.limits import ParseLimits
from tests.fixtures import files


def of_workbook(data: bytes) -> list[tuple[str | None, str]]:
    parsed = xlsx.parse(data, ParseLimits())
    return [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


def of_csv(data: bytes) -> list[str]:
    parsed = csv.parse(data, ParseLimits())
    return [parsed.text[block.start : block.end] for block in parsed.blocks]


def test_rows_below_a_header_say_their_columns() -> None:
    data = files.xlsx(
        {
            "Prices": [
                ["Price list 2026"],
                [],
                ["Lamp", "Price", "Since"],
                ["Aurora", 89.5, date(2026, 3, 1)],
                ["Sol"],
            ],
            "Hidden": [["secret"]],
            "Facts": [["Open", True], ["Rooms", 12.0], ["At", datetime(2026, 3, 1, 9, 30)]],  # noqa: DTZ001 - workbooks know no zones
        },
        hidden=["Hidden"],
    )
    assert of_workbook(data) == [
        ("Prices", "Price list 2026"),
        ("Prices", "Lamp | Price | Since"),
        ("Prices", "Lamp: Aurora | Price: 89.5 | Since: 2026-03-01"),
        ("Prices", "Lamp: Sol"),
        ("Facts", "Open | yes"),
        ("Facts", "Rooms | 12"),
        ("Facts", "At | 2026-03-01 09:30:00"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"name,price\nLamp,10\n", ["name | price", "name: Lamp | price: 10"]),
        ("größe;preis\n1,5;2,50\n".encode("cp1252"), ["größe | preis", "größe: 1,5 | preis: 2,50"]),
        (b"a\tb\r\n1\t2\r\n", ["a | b", "a: 1 | b: 2"]),
        (b"\xef\xbb\xbfa|b\n1|2\n", ["a | b", "a: 1 | b: 2"]),
        (b'q,a\n"Say ""hi"",\nplease",yes\n', ["q | a", 'q: Say "hi", please | a: yes']),
        (b"1,2\n3,4\n", ["1 | 2", "3 | 4"]),
        (b"id,id\nx,y\n", ["id | id", "x | y"]),
        (b"a,b\n1,2,3\n", ["a | b", "a: 1 | b: 2 | 3"]),
        (b"only one line\n", ["only one line"]),
    ],
)
def test_separators_and_quotes(data: bytes, expected: list[str]) -> None:
    assert of_csv(data) == expected


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"plain", "The file is not a spreadsheet."),
        (files.docx([(1, "H", ["p"])]), "The file is not a spreadsheet."),
        (files.xlsx({"A": [["x"] * 20] * 400})[:3_000], "The spreadsheet is damaged and cannot be read."),
        (files.archive({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"no"}), "is damaged"),
        (files.archive({"xl/workbook.xml": b" " * (64 * 1024 * 1024)}), "unpacks to far more data"),
        (files.xlsx({"A": []}), "The spreadsheet holds no text."),
    ],
)
def test_bad_workbooks_fail_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        of_workbook(data)
    assert sentence in str(caught.value)


def test_a_workbook_that_claims_to_be_huge_is_read_as_it_is() -> None:
    good = files.xlsx({"A": [["x", "y"]]})
    lie = files.replaced(good, "xl/worksheets/sheet1.xml", b'ref="A1:B1"', b'ref="A1:XFD1048576"')
    assert of_workbook(lie) == [("A", "x | y")]


@pytest.mark.parametrize("data", [b'a,b\n"' + b"x" * 1_100_000, b"a,b\n" + b"y" * 1_100_000])
def test_a_quoted_value_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(IngestionFailure, match="cannot be read"):
        of_csv(data)
