"""The order in which recognised lines are read."""

from pipelines.parsing.reading_order import Line, page_text

HEIGHT = 20.0


def line(text: str, left: float, top: float, width: float | None = None) -> Line:
    return Line(left, top, left + (width or 10.0 * len(text)), top + HEIGHT, text)


def paragraph(words: str, left: float, top: float) -> list[Line]:
    """Lines of 300 pixels, close below each other."""
    return [line(f"{words} {number}", left, top + number * 26, 300) for number in range(4)]


def test_rows_come_from_above_whatever_order_they_were_found_in() -> None:
    assert page_text([line("two", 0, 26), line("three", 0, 52), line("one", 0, 0)]) == "one\ntwo\nthree"


def test_what_stands_beside_each_other_is_one_line() -> None:
    found = [line("19.90", 400, 2), line("Lamp", 0, 0), line("9.50", 400, 26), line("Tube", 0, 28)]
    assert page_text(found) == "Lamp 19.90\nTube 9.50"


def test_a_blank_parts_paragraphs() -> None:
    assert page_text([line("one", 0, 0), line("two", 0, 26), line("three", 0, 80)]) == "one\ntwo\n\nthree"


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    found = [line("Title over both of them", 100, 0), *paragraph("right", 340, 60), *paragraph("left", 0, 62)]
    assert page_text(found) == "\n\n".join(
        ["Title over both of them"]
        + ["\n".join(f"{side} {number}" for number in range(4)) for side in ("left", "right")]
    )


def test_a_table_is_read_row_by_row() -> None:
    cells = [line(f"{name}{row}", left, row * 26, 60) for row in range(5) for name, left in (("a", 0), ("b", 200))]
    assert page_text(cells) == "\n".join(f"a{row} b{row}" for row in range(5))


def test_nothing_is_no_text_and_a_thousand_lines_are_no_trouble() -> None:
    assert page_text([]) == ""
    many = [line(f"line {number}", number % 3 * 40, number * 26) for number in range(1_000)]
    assert page_text(many).count("\n") == 999
