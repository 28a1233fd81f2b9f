"""The order in which lines of text on the picture of a page are read: rows from above, columns of prose one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

COLUMN_GAP = 1.0
"""Least width of what is blank between two columns, in heights of a line."""
COLUMN_LINES = 3
COLUMN_WIDTH = 10.0
"""Usual width of the lines of a column of prose, in heights; cells of a table are shorter."""
PARAGRAPH_GAP = 0.8
"""Least distance of two paragraphs, in heights."""
MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A run of recognised words and where it stands, in pixels from the upper left."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    confidence: float = 1.0

    @property
    def height(self) -> float:
        return self.bottom - self.top


def page_text(lines: Sequence[Line]) -> str:
    """Their text: what stands beside each other in one line, paragraphs with an empty line between them."""
    parts: list[str] = []
    for column in _columns(list(lines), 0):
        above: list[Line] = []
        for row in _rows(column):
            if parts:
                gap = min(line.top for line in row) - max(line.bottom for line in above) if above else 0.0
                apart = not above or gap > PARAGRAPH_GAP * _usual_height(row)
                parts.append("\n\n" if apart else "\n")
            parts.append(" ".join(line.text for line in row))
            above = row
    return "".join(parts)


def _columns(lines: list[Line], depth: int) -> Iterator[list[Line]]:
    """The page cut at what is blank across all of it, again and again (recursive XY cut)."""
    if len(lines) < 2 * COLUMN_LINES or depth > MAX_DEPTH:
        if lines:
            yield lines
        return
    height = _usual_height(lines)
    for left, right in _cuts(lines, lambda line: (line.left, line.right), COLUMN_GAP * height):
        if _is_prose(left, height) and _is_prose(right, height):
            yield from _columns(left, depth + 1)
            yield from _columns(right, depth + 1)
            return
    widest = next(_cuts(lines, lambda line: (line.top, line.bottom), 0.0), None)
    parts = widest or (lines, [])
    found = [list(_columns(part, depth + 1)) for part in parts] if widest else [[lines]]
    if all(len(columns) == 1 for columns in found):
        yield lines  # one column: rows are found in it as a whole
        return
    for columns in found:
        yield from columns


def _cuts(
    lines: list[Line], span: Callable[[Line], tuple[float, float]], least: float
) -> Iterator[tuple[list[Line], list[Line]]]:
    """Both sides of every blank that is wider than `least`, the widest blank first."""
    ordered = sorted(lines, key=span)
    blanks: list[tuple[float, int]] = []
    reached = span(ordered[0])[1]
    for place, line in enumerate(ordered[1:], start=1):
        begin, end = span(line)
        if begin - reached > least:
            blanks.append((begin - reached, place))
        reached = max(reached, end)
    for _, place in sorted(blanks, reverse=True):
        yield ordered[:place], ordered[place:]


def _is_prose(lines: list[Line], height: float) -> bool:
    return len(lines) >= COLUMN_LINES and median(line.right - line.left for line in lines) >= COLUMN_WIDTH * height


def _rows(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines whose middles are at about the same height, from left to right."""
    row: list[Line] = []
    for line in sorted(lines, key=lambda one: one.top + one.bottom):
        if row and (line.top + line.bottom) / 2 > row[0].bottom - 0.3 * row[0].height:
            yield sorted(row, key=lambda one: one.left)
            row = []
        row.append(line)
    if row:
        yield sorted(row, key=lambda one: one.left)


def _usual_height(lines: Sequence[Line]) -> float:
    return median(line.height for line in lines)
