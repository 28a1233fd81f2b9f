"""What a source of documents yields: documents with their bytes, failures with a reason, and what has not changed."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from pipelines.sources.content import Content

MetadataValue = str | int | float | bool


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A document. Its `content` belongs to whoever takes it: `with item:` closes it."""

    key: str
    """The same for the same document whenever the same source is read; unlike all others of it."""
    name: str
    """Safe to show, with an extension."""
    source: str
    """Where it came from: an address, or a path below what was named."""
    media_type: str
    """Of the registry, told by the content itself."""
    content: Content = field(repr=False, compare=False)
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """Of what came from the web, `etag` and `last_modified` are for the next run: see `Known`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.content.close()


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """What could not be taken; everything else comes all the same."""

    key: str
    source: str
    reason: str
    """A sentence for the user."""


@dataclass(frozen=True, slots=True)
class SourceUnchanged:
    """A document that is as the last run saw it, and was not read again."""

    key: str
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the last run was told of a document, by key."""

    etag: str | None = None
    last_modified: str | None = None


Found = SourceItem | SourceFailure | SourceUnchanged


class Source(Protocol):
    """Documents of one place."""

    def items(self) -> AsyncGenerator[Found, None]:
        """Everything, in a stable order, read only as it is asked for; close it: `async with aclosing(...)`.

        Nothing that a file or a server does ends it early: that is a SourceFailure. Several items may be open at once.
        """
        ...


async def at_most(count: int, found: AsyncGenerator[Found, None], source: str) -> AsyncGenerator[Found, None]:
    """The first `count` of what was found, and a failure that says so when there is more."""
    async with aclosing(found):
        async for item in found:
            if not count:
                if isinstance(item, SourceItem):
                    item.content.close()
                yield SourceFailure(
                    "", source, "The source holds more documents than one job may; the rest was left out."
                )
                return
            count -= 1
            yield item


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much of one source is read."""

    max_bytes: int = 50 * 1024 * 1024
    """Of one document."""
    max_items: int = 100_000
    """Documents and failures together; what comes after is one more failure."""
    archive_bytes: int = 4 * 1024 * 1024 * 1024
    """Of an archive or table as it is stored, and unpacked."""
    archive_entries: int = 100_000
    archive_ratio: int = 200
    """Unpacked bytes per packed one, once the unpacked are beyond 16 MiB."""
    max_rows: int = 1_000_000
    """Of one table."""
    memory_bytes: int = 1536 * 1024 * 1024
    """Address space of the process that opens an archive or a table."""
    cpu_seconds: int = 900
    """Of that process."""
