"""What one file becomes: a document, the files of an archive, the rows of a table, or a reason."""

import posixpath
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from domain.errors import AppError
from domain.sources import ColumnMapping
from pipelines.parsing.detect import detect
from pipelines.parsing.registry import MARKDOWN, TEXT
from pipelines.sources.content import Content
from pipelines.sources.expand_limits import too_large_sentence
from pipelines.sources.expansion import Part, expanded
from pipelines.sources.found import Found, MetadataValue, SourceFailure, SourceItem, SourceLimits
from pipelines.sources.naming import display_name

NESTED = "An archive within an archive is not opened; unpack it first."
NEEDS_COLUMNS = "A Parquet file is read row by row: say which columns hold the text."
_ARCHIVE_NAMES = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz))\Z", re.IGNORECASE)
_TABLE_NAMES = {"parquet": "parquet", "csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl"}
_OFFICE_PART = b"[Content_Types].xml"
_TAR_MARK = slice(257, 262)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that has come in, with what was said of it."""

    key: str
    name: str
    source: str
    content: Content
    declared: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


class Intake:
    """Makes documents of files; with `columns`, tables are taken row by row."""

    def __init__(self, limits: SourceLimits, columns: ColumnMapping | None = None) -> None:
        self.limits = limits
        self._columns = columns

    def most_bytes(self, name: str) -> int:
        """How large a file of this name may be: what is taken apart may be larger than a document."""
        apart = _ARCHIVE_NAMES.search(name) or self._table_kind(name)
        return self.limits.archive_bytes if apart else self.limits.max_bytes

    async def found(self, arrival: Arrival) -> AsyncGenerator[Found, None]:
        """The documents in a file. Its content is theirs, or closed."""
        content = arrival.content
        archive = _archive_kind(content.head, arrival.name)
        table = self._table_kind(arrival.name) if archive is None else None
        if archive is None and table is None:
            yield self._document(arrival)
            return
        try:
            if table == "parquet" and self._columns is None:
                yield SourceFailure(arrival.key, arrival.source, NEEDS_COLUMNS)
                return
            columns = self._columns if table else None
            parts = expanded(content.open(), content.size, archive or table or "", columns, self.limits)
            async with aclosing(parts):
                async for part in parts:
                    yield self._entry(arrival, part) if archive else _row(arrival, part, columns)
        finally:
            content.close()

    def _table_kind(self, name: str) -> str | None:
        kind = _TABLE_NAMES.get(name.rpartition(".")[2].lower())
        return kind if self._columns is not None or kind == "parquet" else None

    def _document(self, arrival: Arrival) -> SourceItem | SourceFailure:
        content, name = arrival.content, display_name(arrival.name)
        try:
            media_type = detect(content.head, name, arrival.declared)
        except AppError as error:
            content.close()
            return SourceFailure(arrival.key, arrival.source, error.message)
        if content.size > self.limits.max_bytes:
            content.close()
            return SourceFailure(arrival.key, arrival.source, too_large_sentence(self.limits.max_bytes))
        return SourceItem(arrival.key, name, arrival.source, media_type, content, arrival.metadata)

    def _entry(self, archive: Arrival, part: Part) -> SourceItem | SourceFailure:
        place = _below(archive.source, part.key)
        key = _below(archive.key, part.key)
        if part.content is None:
            return SourceFailure(key, place, part.failure)
        if _archive_kind(part.content.head, part.key) is not None:
            part.content.close()
            return SourceFailure(key, place, NESTED)
        return self._document(Arrival(key, posixpath.basename(part.key), place, part.content, None, archive.metadata))


def _row(table: Arrival, part: Part, columns: ColumnMapping | None) -> SourceItem | SourceFailure:
    key = f"{table.key}#{part.key}" if part.key else table.key
    source = f"{table.source}#{part.key}" if part.key else table.source
    if part.content is None:
        return SourceFailure(key, source, part.failure)
    markdown = columns is not None and columns.markdown
    stem = part.title or f"{table.name.rpartition('.')[0] or table.name} {part.key}"
    name = display_name(f"{stem.replace('/', '-')}.{'md' if markdown else 'txt'}")
    metadata = {**table.metadata, **(part.metadata or {})}
    return SourceItem(key, name, source, MARKDOWN if markdown else TEXT, part.content, metadata)


def _below(whole: str, part: str) -> str:
    return f"{whole}/{part}" if part else whole


def _archive_kind(head: bytes, name: str) -> str | None:
    """Of a file whose name and content agree that it is an archive, and no Office document."""
    if not _ARCHIVE_NAMES.search(name):
        return None
    if head.startswith(b"PK") and _OFFICE_PART not in head[:256]:
        return "zip"
    for mark, kind in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ", "xz")):
        if head.startswith(mark):
            return kind
    return "tar" if head[_TAR_MARK] == b"ustar" else None
