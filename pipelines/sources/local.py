"""Files, folders and patterns of the machine that this runs on; links do not lead out, hidden files are left out."""

import asyncio
import glob
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO

from domain.errors import AppError, Unprocessable
from domain.sources import ColumnMapping
from pipelines.sources.content import Content
from pipelines.sources.found import Found, SourceFailure, SourceLimits, at_most
from pipelines.sources.intake import Arrival, Intake

NOT_THERE = "There is no such file or folder."
NO_MATCH = "No file matches the pattern."
NO_FILES = "The folder holds no files."
OUTSIDE = "A link that leads out of the folder is not followed."
NO_FILE = "This is no regular file."
FORBIDDEN = "The file cannot be opened."


class LocalSource:
    """What a path names: a file, a folder with all below it, or a pattern such as `docs/**/*.pdf`."""

    def __init__(self, path: str, limits: SourceLimits | None = None, columns: ColumnMapping | None = None) -> None:
        self._path = path
        self._limits = limits or SourceLimits()
        self._intake = Intake(self._limits, columns)

    async def items(self) -> AsyncGenerator[Found, None]:
        """Sorted by path. Keys are paths below the folder that was named, or before the pattern's first wildcard."""
        async with aclosing(at_most(self._limits.max_items, self._everything(), self._path)) as found:
            async for item in found:
                yield item

    async def _everything(self) -> AsyncGenerator[Found, None]:
        root, places = await asyncio.to_thread(_places, self._path)
        while (place := await asyncio.to_thread(next, places, None)) is not None:
            async with aclosing(self._found(root, place)) as found:
                async for item in found:
                    yield item

    async def _found(self, root: Path, place: Path | SourceFailure) -> AsyncGenerator[Found, None]:
        if isinstance(place, SourceFailure):
            yield place
            return
        key = place.relative_to(root).as_posix()
        try:
            stream = await asyncio.to_thread(_opened, place)
            content = await Content.taken(stream, self._intake.most_bytes(place.name))
        except AppError as error:
            yield SourceFailure(key, str(place), error.message)
            return
        except OSError:
            yield SourceFailure(key, str(place), FORBIDDEN)
            return
        async with aclosing(self._intake.found(Arrival(key, place.name, str(place), content))) as found:
            async for item in found:
                yield item


def _places(text: str) -> tuple[Path, Iterator[Path | SourceFailure]]:
    """The folder that keys are told from, and the files."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path, _nonempty(_walk(path, path.resolve()), text, NO_FILES)
    if path.exists() or not glob.has_magic(text):
        return path.parent, iter([path if path.exists() else SourceFailure(path.name, text, NOT_THERE)])
    parts = path.parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    return root, _nonempty(_matching(root, path, root.resolve()), text, NO_MATCH)


def _nonempty(places: Iterator[Path | SourceFailure], text: str, reason: str) -> Iterator[Path | SourceFailure]:
    first = next(places, None)
    if first is None:
        yield SourceFailure("", text, reason)
        return
    yield first
    yield from places


def _matching(root: Path, pattern: Path, inside: Path) -> Iterator[Path | SourceFailure]:
    """Hidden names match only what begins with a dot itself, as in every shell."""
    for name in sorted(glob.glob(str(pattern), recursive=True)):  # noqa: PTH207 - of pathlib, `**` leaves links' files out
        path = Path(name)
        if not path.is_dir():
            yield _checked(path, root, inside)


def _walk(root: Path, inside: Path) -> Iterator[Path | SourceFailure]:
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError:
            yield SourceFailure(folder.relative_to(root).as_posix(), str(folder), "The folder cannot be opened.")
            continue
        folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        pending.extend(reversed(folders))
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                continue
            if entry.is_symlink() and entry.is_dir() and path.resolve().is_relative_to(inside):
                continue  # Its files are read where they are.
            yield _checked(path, root, inside)


def _checked(path: Path, root: Path, inside: Path) -> Path | SourceFailure:
    key = path.relative_to(root).as_posix()
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return SourceFailure(key, str(path), "The link leads nowhere.")
    return path if real.is_relative_to(inside) else SourceFailure(key, str(path), OUTSIDE)


def _opened(path: Path) -> IO[bytes]:
    """Raises OSError, and Unprocessable for what is no regular file: a pipe would never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unprocessable(NO_FILE)
    return os.fdopen(descriptor, "rb")
