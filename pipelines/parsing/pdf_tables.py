"""Tables of a PDF page: cells are found by where they stand, and rows put where their words are in the text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.parsing.assembly import tidy

SHORT_LINE = 60
SHORT_LINES = 4
"""So many of them in a row are cells of a table, or it is no matter that we looked."""
MAX_COLUMNS = 40
_CELL = re.compile(r"\S+(?: {1,2}\S+)*")

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of equally many cells, empty ones among them."""

    rows: tuple[Row, ...]


def may_have_table(text: str) -> bool:
    """Whether it is worth to look where words stand: prose has long lines."""
    short = 0
    for line in text.split("\n"):
        short = short + 1 if 0 < len(line) <= SHORT_LINE else 0
        if short == SHORT_LINES:
            return True
    return False


def with_tables(text: str, layout: str) -> list[str | Table]:
    """Lines of the page's `text`, with tables in the place of the lines that held their cells.

    `layout` is the same page with blanks that put every word where it stands. A table whose words do not follow each
    other in `text`, row by row, is left as it is: columns of a newspaper are none.
    """
    lines: list[str | Table] = list(text.split("\n"))
    for table in _tables(layout):
        place = _place(lines, table)
        if place is not None:
            lines[place] = [table]
    return lines


@dataclass(slots=True)
class _Columns:
    """From where to where each column reaches, in characters of the layout."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def fit(self, cells: Sequence[re.Match[str]]) -> dict[int, str] | None:
        """Cells by column, when each of them stands in one of its own; the columns grow by what they took."""
        taken: dict[int, str] = {}
        grown = list(self.spans)
        for cell in cells:
            under = [n for n, (start, end) in enumerate(self.spans) if cell.start() < end and start < cell.end()]
            if len(under) != 1 or under[0] in taken:
                return None
            start, end = self.spans[under[0]]
            grown[under[0]] = (min(start, cell.start()), max(end, cell.end()))
            taken[under[0]] = cell[0]
        self.spans = grown
        return taken


def _tables(layout: str) -> Iterator[Table]:
    columns, rows = _Columns(), list[dict[int, str]]()
    for line in layout.split("\n"):
        if not line.strip():
            continue
        cells = list(_CELL.finditer(line))
        fitting = columns.fit(cells) if rows else None
        if fitting is not None and (len(cells) > 1 or len(rows) > 1):
            rows.append(fitting)
            continue
        yield from _table(rows, len(columns.spans))
        columns, rows = _Columns(), []
        if 2 <= len(cells) <= MAX_COLUMNS:
            columns.spans = [cell.span() for cell in cells]
            rows = [dict(enumerate(cell[0] for cell in cells))]
    yield from _table(rows, len(columns.spans))


def _table(rows: list[dict[int, str]], width: int) -> Iterator[Table]:
    while rows and len(rows[-1]) < 2:
        rows.pop()  # A last line under one column is as likely the text below.
    if len(rows) >= 2 and (width > 2 or len(rows) > 2):
        yield Table(tuple(tuple(tidy(row.get(column, "")) for column in range(width)) for row in rows))


def _place(lines: Sequence[str | Table], table: Table) -> slice | None:
    """The lines that hold just the table's words in the table's order."""
    wanted = "".join(_squeezed(cell) for row in table.rows for cell in row)
    letters = [_squeezed(line) if isinstance(line, str) else "\x00" for line in lines]
    for first, begin in enumerate(letters):
        if not begin or not wanted.startswith(begin):
            continue
        left = wanted
        for last in range(first, len(letters)):
            if not left.startswith(letters[last]):
                break
            left = left[len(letters[last]) :]
            if not left:
                return slice(first, last + 1)
    return None


def _squeezed(text: str) -> str:
    return "".join(text.split())
