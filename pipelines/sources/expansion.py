"""Opens an archive or a table in a child process with hard limits, and reads its documents from there."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from domain.sources import ColumnMapping
from pipelines.parsing.children import ENVIRONMENT
from pipelines.sources.content import Content
from pipelines.sources.expand_child import BROKEN, UNSTARTED
from pipelines.sources.expand_limits import ExpandLimits
from pipelines.sources.found import MetadataValue, SourceLimits

log = structlog.get_logger(__name__)

CHILD = str(Path(__file__).with_name("expand_child.py"))
UNREADABLE = "The file could not be opened; it may be damaged."
TOO_HUNGRY = "The file needs too much memory or time to be opened."
MAX_HEADER = 256 * 1024
MAX_PIECE = 1024 * 1024
MAX_SENTENCE = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """A file of an archive or a row of a table: its content, to be closed, or the reason why there is none."""

    key: str
    """Empty for what befell the whole, or the rest of it."""
    title: str = ""
    content: Content | None = None
    metadata: dict[str, MetadataValue] | None = None
    failure: str = ""


async def expanded(
    stream: IO[bytes], size: int, kind: str, columns: ColumnMapping | None, limits: SourceLimits
) -> AsyncGenerator[Part, None]:
    """Parts of the file of `size` bytes: an archive's, or with `columns` a table's.

    `stream` needs a descriptor. Nothing in the file raises; RuntimeError says that the child could not be started.
    """
    task = {
        "kind": kind,
        "size": size,
        "columns": columns.model_dump() if columns else None,
        "limits": asdict(_expand_limits(limits)),
    }
    stream.seek(0)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-X", "utf8", CHILD, json.dumps(task)),
        stdin=stream,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        async for part in _parts(child.stdout, limits):
            yield part
    except asyncio.IncompleteReadError:
        # The child died: of a limit, or of the file.
        status = await child.wait()
        if status == UNSTARTED:
            raise RuntimeError("The process that opens archives and tables could not be started.") from None
        log.warning("expansion_died", status=status)
        yield Part("", failure=TOO_HUNGRY)
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def _expand_limits(limits: SourceLimits) -> ExpandLimits:
    return ExpandLimits(
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        item_bytes=limits.max_bytes,
        total_bytes=limits.archive_bytes,
        entries=limits.archive_entries,
        ratio=limits.archive_ratio,
        rows=limits.max_rows,
    )


async def _parts(stream: asyncio.StreamReader, limits: SourceLimits) -> AsyncGenerator[Part, None]:
    """What the child says is checked: a file that took it over must not be able to break what comes after it."""
    try:
        while not (header := await _header(stream)).get("end"):
            if header["failure"]:
                yield _failed(header)
                continue
            content = Content()
            try:
                broken = await _read_body(stream, content, limits.max_bytes)
            except BaseException:
                content.close()
                raise
            if broken is None:
                yield Part(header["key"], header["title"], content, header["metadata"])
            else:
                content.close()
                yield _failed(broken)
        if crash := str(header.get("crash") or "")[:80]:
            log.warning("expansion_crashed", error=crash)
            yield Part("", failure=TOO_HUNGRY if "Memory" in crash else UNREADABLE)
        elif header.get("failure"):
            yield Part("", failure=str(header["failure"])[:MAX_SENTENCE])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("expansion_invalid", error=type(error).__name__)
        yield Part("", failure=UNREADABLE)


def _failed(header: dict[str, Any]) -> Part:
    return Part(header["key"], failure=str(header["failure"])[:MAX_SENTENCE])


async def _header(stream: asyncio.StreamReader) -> dict[str, Any]:
    fields = json.loads(await _sized(stream, await _length(stream), MAX_HEADER))
    if fields.get("end"):
        return dict(fields)
    metadata = fields.get("metadata") or {}
    if not all(isinstance(name, str) and isinstance(value, str | int | float) for name, value in metadata.items()):
        raise ValueError("metadata of another kind")
    return {
        "key": _storable(fields["key"]),
        "title": _storable(fields.get("title") or ""),
        "metadata": metadata,
        "failure": fields.get("failure") or "",
    }


def _storable(text: str) -> str:
    """Names in archives are bytes of any encoding: what no store keeps becomes U+FFFD."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


async def _read_body(stream: asyncio.StreamReader, content: Content, max_bytes: int) -> dict[str, Any] | None:
    """None, or the header that says why the body broke off."""
    while length := await _length(stream):
        if length == BROKEN:
            return await _header(stream)
        if content.size + length > max_bytes:
            raise ValueError("more than was agreed")
        await content.write(await _sized(stream, length, MAX_PIECE))
    return None


async def _length(stream: asyncio.StreamReader) -> int:
    return int.from_bytes(await stream.readexactly(4), "big")


async def _sized(stream: asyncio.StreamReader, length: int, most: int) -> bytes:
    if length > most:
        raise ValueError("more than was agreed")
    return await stream.readexactly(length)
