"""CSV and TSV: the separator is found from the first lines; a block for each row."""

import csv
from io import StringIO

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.assembly import Assembly
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.rows import add_rows
from pipelines.parsing.text import EMPTY, decode

DAMAGED = "The table cannot be read: a quoted value does not end, or a line is far too long."
_SEPARATORS = ",;\t|"
_SAMPLE_LINES = 20
_LONGEST_FIELD = 1_000_000


def parse(data: bytes, _limits: ParseLimits) -> ParsedDocument:
    text = decode(data).lstrip("\ufeff")
    csv.field_size_limit(_LONGEST_FIELD)
    assembly = Assembly()
    try:
        add_rows(csv.reader(StringIO(text, newline=""), delimiter=separator(text)), assembly, None)
    except csv.Error as error:
        raise IngestionFailure(DAMAGED) from error
    return assembly.document(empty=EMPTY)


def separator(text: str) -> str:
    """Of cells: the one that cuts most of the first lines into equally many pieces, and into most."""
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:_SAMPLE_LINES]
    if not lines:
        return ","

    def fits(separator: str) -> tuple[int, int]:
        counts = [sum(1 for _ in next(csv.reader([line], delimiter=separator))) for line in lines]
        common = max(set(counts), key=lambda count: (counts.count(count), count))
        return (counts.count(common), common) if common > 1 else (0, 0)

    return max(_SEPARATORS, key=fits)
