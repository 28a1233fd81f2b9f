"""Entries of zip and tar archives, one after the other and bounded; runs in the child process on hostile archives."""

import bz2
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol
from zipfile import BadZipFile, ZipFile, ZipInfo

from domain.documents import IngestionFailure
from pipelines.sources.expand_limits import ExpandLimits

DAMAGED = "The archive is damaged and cannot be read."
CUT = "The archive is damaged: what comes after this place could not be read."
OVERGROWN = "The archive unpacks to far more data than documents need."
PROTECTED = "The file is protected by a password."
OUTSIDE = "The file's name leads out of the archive."
LINK = "The entry is a link, not a file."
TWICE = "The archive holds this name more than once; the first one counts."
RATIO_FLOOR = 16 * 1024 * 1024
XZ_MEMORY = 128 * 1024 * 1024
MAX_NAME = 1_000
_PIECE = 64 * 1024
_ESCAPES = re.compile(r"\A[/\\]|\A[A-Za-z]:|(?:\A|[/\\])\.\.(?:[/\\]|\Z)|\x00")


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive, or the reason why it cannot be had."""

    name: str
    size: int = 0
    body: Readable | None = None
    """To be read before the next entry is asked for; raises what the library raises for damaged data."""
    failure: str = ""


def entries(stream: IO[bytes], size: int, kind: str, limits: ExpandLimits) -> Iterator[Entry]:
    """Files of an archive of `kind`: `zip`, `tar`, `gz`, `bz2` or `xz`, the last three around a tar.

    Hidden files and folders are left out. Raises IngestionFailure for the archive as a whole.
    """
    found = _zip(stream, size, limits) if kind == "zip" else _tar(stream, size, kind, limits)
    seen: set[str] = set()
    for number, entry in enumerate(found, 1):
        if len(entry.name) > MAX_NAME or _ESCAPES.search(entry.name):
            yield Entry(entry.name[:MAX_NAME] if entry.name not in seen else f"#{number}", failure=OUTSIDE)
            seen.add(entry.name)
        elif not _hidden(entry.name):
            yield Entry(f"{entry.name}#{number}", failure=TWICE) if entry.name in seen else entry
            seen.add(entry.name)


def _hidden(name: str) -> bool:
    """Also what one system's archiver adds for itself alone."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part != "." for part in parts)


def _zip(stream: IO[bytes], size: int, limits: ExpandLimits) -> Iterator[Entry]:
    try:
        archive = ZipFile(stream)
    except (BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise IngestionFailure(DAMAGED) from error
    with archive:
        infos = archive.infolist()
        # What is declared is an upper bound: the reader stops there.
        total = sum(info.file_size for info in infos)
        if len(infos) > limits.entries or _overgrown(total, size, limits):
            raise IngestionFailure(OVERGROWN)
        for info in infos:
            if not info.is_dir():
                yield from _zip_entry(archive, info)


def _zip_entry(archive: ZipFile, info: ZipInfo) -> Iterator[Entry]:
    if info.flag_bits & 1:
        yield Entry(info.filename, failure=PROTECTED)
        return
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        yield Entry(info.filename, failure=LINK)
        return
    try:
        body = archive.open(info)
    except (BadZipFile, ValueError, NotImplementedError, OSError):
        yield Entry(info.filename, failure=DAMAGED)
        return
    with body:
        yield Entry(info.filename, info.file_size, body)


def _tar(stream: IO[bytes], size: int, kind: str, limits: ExpandLimits) -> Iterator[Entry]:
    plain = _Unpacked(stream, size, kind, limits)
    count, last = 0, ""
    try:
        with tarfile.open(fileobj=plain, mode="r|", errorlevel=1) as archive:  # type: ignore[call-overload]
            for member in archive:
                count, last = count + 1, str(member.name)
                # The reader would keep every member it has seen.
                archive.members = []
                if count > limits.entries:
                    raise IngestionFailure(OVERGROWN)
                if member.isreg():
                    yield Entry(last, member.size, archive.extractfile(member))
                elif not member.isdir():
                    yield Entry(last, failure=LINK)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise IngestionFailure(CUT if count else DAMAGED) from error
    if not plain.complete:
        raise IngestionFailure(CUT if count else DAMAGED)


class _Unpacked:
    """The tar inside of its compression, never more of it than the limits allow."""

    def __init__(self, stream: IO[bytes], size: int, kind: str, limits: ExpandLimits) -> None:
        self._stream, self._size, self._kind, self._limits = stream, size, kind, limits
        self._decoder = self._new_decoder()
        self._waiting = b""
        self._total = 0

    @property
    def complete(self) -> bool:
        """Whether the compressed data had an end of its own; padding behind the tar need not have been read."""
        return self._decoder is None or self._drained()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size) if self._decoder is None else self._decoded(size)
        self._total += len(data)
        if _overgrown(self._total, self._size, self._limits):
            raise IngestionFailure(OVERGROWN)
        return data

    def _new_decoder(self) -> Any:
        match self._kind:
            case "gz":
                return zlib.decompressobj(zlib.MAX_WBITS | 16)
            case "bz2":
                return bz2.BZ2Decompressor()
            case "xz":
                return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        return None

    def _decoded(self, size: int) -> bytes:
        """At most `size` bytes, some unless the end is reached; several compressed streams may follow each other."""
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data or self._stream.read(_PIECE)
                if not rest.strip(b"\x00"):
                    return b""
                self._decoder, self._waiting = self._new_decoder(), rest
            if not self._waiting and getattr(self._decoder, "needs_input", True):
                self._waiting = self._stream.read(_PIECE)
            # Also at the end of the file: the decoder may hold more than the last piece had room for.
            over = not self._waiting
            data: bytes = self._decoder.decompress(self._waiting, size)
            # zlib hands back what it did not use, the others keep it.
            self._waiting = getattr(self._decoder, "unconsumed_tail", b"")
            if data or (over and not self._decoder.eof):
                return data

    def _drained(self) -> bool:
        while not self._decoder.eof:
            if not self.read(_PIECE):
                break
        return bool(self._decoder.eof)


def _overgrown(total: int, packed: int, limits: ExpandLimits) -> bool:
    return total > limits.total_bytes or (total > RATIO_FLOOR and total > limits.ratio * packed)
