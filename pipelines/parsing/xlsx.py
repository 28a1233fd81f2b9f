"""Excel workbooks: a section for each visible sheet, a block for each row; formulas as the values they had."""

from collections.abc import Iterator
from datetime import date, datetime, time
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.archive import damaged, weigh_archive
from pipelines.parsing.assembly import Assembly, SectionPath
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.rows import add_rows

NOUN = "spreadsheet"
EMPTY = "The spreadsheet holds no text."


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    weigh_archive(data, limits, "xl/", NOUN)
    assembly = Assembly()
    try:
        book = load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            if sheet.sheet_state != "visible":
                continue
            # What a sheet says of its size is not to be trusted: rows would be padded to it.
            sheet.reset_dimensions()
            add_rows(_rows(sheet), assembly, SectionPath(sheet.title).path)
    except (BadZipFile, InvalidFileException, SyntaxError, KeyError, ValueError, TypeError, AttributeError) as error:
        # The reader of XML raises a SyntaxError of its own.
        raise IngestionFailure(damaged(NOUN)) from error
    except (OSError, EOFError, IndexError) as error:
        raise IngestionFailure(damaged(NOUN)) from error
    return assembly.document(empty=EMPTY)


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows(values_only=True):
        yield [_shown(value) for value in row]


def _shown(value: object) -> str:
    """A cell's value as a reader of any country understands it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ", "seconds") if value.time() != time() else value.date().isoformat()
        case date() | time():
            return value.isoformat()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case float():
            return repr(round(value, 10))
    return str(value)
