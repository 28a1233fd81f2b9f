"""Rows of Parquet, CSV and JSON Lines as documents, streamed; runs in the child process on hostile tables."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from io import TextIOWrapper
from itertools import chain, islice
from typing import IO, Any

from domain.documents import IngestionFailure
from pipelines.parsing.csv import separator
from pipelines.parsing.text import BOMS, decode
from pipelines.sources.expand_limits import ExpandLimits

DAMAGED = "The table is damaged and cannot be read."
NO_TEXT = "The row holds no text."
NO_ID = "The row has no value in the column that names it."
TWICE = "The row's name occurs more than once; the first one counts."
TOO_LARGE = "The row is larger than a document may be."
BATCH_ROWS = 256
MAX_VALUE = 500
MAX_KEY = 200
_SHOWN_COLUMNS = 20
_HEAD = 64 * 1024
_FIRST_RECORDS = 100
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Columns:
    """Of `domain.sources.ColumnMapping`, without pydantic."""

    text: tuple[str, ...]
    id: str | None = None
    title: str | None = None
    metadata: tuple[str, ...] = ()
    markdown: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        named = (*self.text, self.id, self.title, *self.metadata)
        return tuple(dict.fromkeys(name for name in named if name is not None))


@dataclass(frozen=True, slots=True)
class Row:
    """A document, or the reason why the row is none."""

    key: str
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Value] | None = None
    failure: str = ""


def rows(stream: IO[bytes], kind: str, columns: Columns, limits: ExpandLimits) -> Iterator[Row]:
    """Documents of a table of `kind` `parquet`, `csv` or `jsonl`.

    Raises IngestionFailure for the table as a whole: a column that is not there, damaged data, too many rows. What was
    yielded before stands.
    """
    records = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}[kind](stream, columns, limits)
    seen: set[int] = set()
    for number, record in enumerate(records, 1):
        if number > limits.rows:
            raise IngestionFailure(f"The table has more than {limits.rows:,} rows; those after them were left out.")
        if isinstance(record, str):
            yield Row(f"row {number}", failure=record)
            continue
        row = _row(number, record, columns, limits)
        mark = hash(row.key)
        if mark in seen and columns.id is not None:
            yield Row(f"{row.key[:MAX_KEY]}#{number}", failure=TWICE)
        else:
            seen.add(mark)
            yield row


def _row(number: int, record: Mapping[str, Any], columns: Columns, limits: ExpandLimits) -> Row:
    key = str(number) if columns.id is None else _text(record.get(columns.id))[:MAX_KEY]
    if not key:
        return Row(f"row {number}", failure=NO_ID)
    title = " ".join(_text(record.get(columns.title)).split())[:MAX_KEY] if columns.title else ""
    parts = [(name, text) for name in columns.text if (text := _text(record.get(name)).strip())]
    if not parts:
        return Row(key, failure=NO_TEXT)
    heading = "# " if columns.markdown else ""
    paragraphs = [f"{heading}{title}"] if title else []
    for name, text in parts:
        if len(columns.text) > 1:
            paragraphs.append(f"#{heading}{name}" if columns.markdown else f"{name}:")
        paragraphs.append(text)
    body = "\n\n".join(paragraphs)
    if len(body) > limits.item_bytes:
        return Row(key, failure=TOO_LARGE)
    metadata = {name: value for name in columns.metadata if (value := _value(record.get(name))) is not None}
    return Row(key, title, body, metadata)


def _parquet(stream: IO[bytes], columns: Columns, _limits: ExpandLimits) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(stream, pre_buffer=False, memory_map=False)
        _check_columns(columns, table.schema_arrow.names)
        for batch in table.iter_batches(BATCH_ROWS, columns=list(columns.all), use_threads=False):
            yield from batch.to_pylist()
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        raise IngestionFailure(DAMAGED) from error


def _csv(stream: IO[bytes], columns: Columns, limits: ExpandLimits) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(min(limits.item_bytes, 2**31 - 1))
    head = stream.read(_HEAD)
    stream.seek(0)
    text = TextIOWrapper(stream, encoding=_encoding(head), errors="replace", newline="")
    reader = csv.reader(text, delimiter=separator(head.decode(_encoding(head), "replace")))
    try:
        names = next(reader, [])
        names = [name.strip().lstrip("\ufeff") for name in names]
        _check_columns(columns, names)
        for cells in reader:
            if cells:
                yield dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise IngestionFailure(DAMAGED) from error


def _json_lines(stream: IO[bytes], columns: Columns, limits: ExpandLimits) -> Iterator[Mapping[str, Any] | str]:
    records = _json_records(stream, limits)
    # Records may lack what others have: only a name that none of the first has is taken for a mistake.
    first = list(islice(records, _FIRST_RECORDS))
    _check_columns(
        columns, list(dict.fromkeys(name for record in first if isinstance(record, dict) for name in record))
    )
    yield from chain(first, records)


def _json_records(stream: IO[bytes], limits: ExpandLimits) -> Iterator[Mapping[str, Any] | str]:
    while line := stream.readline(limits.item_bytes * 2 + 1):
        if len(line) > limits.item_bytes * 2:
            raise IngestionFailure("A line of the table is far too long.")
        if not line.strip():
            continue
        try:
            record = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError):
            yield "The line is no valid JSON."
            continue
        yield record if isinstance(record, dict) else "The line is no JSON object."


def _check_columns(columns: Columns, there: Sequence[str]) -> None:
    missing = next((name for name in columns.all if name not in there), None)
    if missing is None:
        return
    shown = ", ".join(f"`{name[:60]}`" for name in there[:_SHOWN_COLUMNS]) or "none"
    more = f" and {len(there) - _SHOWN_COLUMNS} more" if len(there) > _SHOWN_COLUMNS else ""
    raise IngestionFailure(f"The table has no column `{missing}`; it has {shown}{more}.")


def _encoding(head: bytes) -> str:
    """Of a text by its beginning: that of its mark, UTF-8, or the most widespread code page that fits."""
    for mark, name in BOMS:
        if head.startswith(mark):
            return name
    # A character that the cut went through must not decide.
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError:
        decode(whole)
        return "cp1252"
    return "utf-8"


def _text(value: Any) -> str:
    """A value as its reader understands it; nothing for bytes, which are no text."""
    match value:
        case None | bytes():
            return ""
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ")
        case date() | time():
            return value.isoformat()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _value(value: Any) -> Value | None:
    match value:
        case bool() | int():
            return value if isinstance(value, bool) or abs(value) < 2**53 else str(value)
        case float():
            return value if value == value and abs(value) != float("inf") else None
        case Decimal():
            return str(value)
    return _text(value)[:MAX_VALUE] or None
