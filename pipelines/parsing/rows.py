"""Rows of a table as text: each says its columns' names, so that one found alone can be understood."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from pipelines.parsing.assembly import Assembly

MAX_CELL = 32_767
"""Characters of a cell: as many as a spreadsheet can hold."""
_LOOK = 20
"""Rows among which the header is looked for."""


def add_rows(
    rows: Iterable[Sequence[str]], assembly: Assembly, section: str | None, *, page: int | None = None
) -> None:
    """Append one block per row that has anything in it: `name: value | name: value` below a header, else the values.

    The header is the first row with more than one cell, if its cells are all named, differently and without numbers.
    What stands above it is text of its own.
    """
    tidy = (tuple(" ".join(cell[:MAX_CELL].split()) for cell in row) for row in rows)
    filled = (row for row in tidy if any(row))
    first = list(islice(filled, _LOOK))
    start = next((number for number, row in enumerate(first) if sum(map(bool, row)) > 1), None)
    header = _header(first[start]) if start is not None and len(first) > start + 1 else None
    for number, row in enumerate(chain(first, filled)):
        below = header is not None and start is not None and number > start
        cells = _labelled(header or (), row) if below else [cell for cell in row if cell]
        assembly.add(" | ".join(cells), page=page, section=section, tight=number > 0)


def _header(row: Sequence[str]) -> tuple[str, ...] | None:
    named = [cell for cell in row if cell]
    unlike = len({cell.casefold() for cell in named}) == len(named)
    if not unlike or any(_is_value(cell) or len(cell) > 80 for cell in named):
        return None
    return tuple(row)


def _is_value(cell: str) -> bool:
    """Or a yes or no: no name of a column."""
    digits = any(character.isdigit() for character in cell) and not any(character.isalpha() for character in cell)
    return digits or cell in ("yes", "no")


def _labelled(header: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    for column, cell in enumerate(row):
        if cell:
            name = header[column] if column < len(header) else ""
            yield f"{name}: {cell}" if name else cell
