"""BlobStore: bytes under keys, over fsspec; a local write is seen whole or not at all."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from domain.errors import NotFound, StorageFull
from domain.ids import DocumentId, TenantId
from storage.full_disk import is_full

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(/[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)*")
MAX_KEY = 512
PIECE = 256 * 1024
ORIGINAL, PARSED = "original", "parsed.json"


def document_prefix(tenant_id: TenantId, document_id: DocumentId) -> str:
    return f"{tenant_id}/blobs/{document_id}"


def original_key(tenant_id: TenantId, document_id: DocumentId) -> str:
    """Where the uploaded bytes are."""
    return f"{document_prefix(tenant_id, document_id)}/{ORIGINAL}"


def parsed_key(tenant_id: TenantId, document_id: DocumentId) -> str:
    """Where the parsed text with its blocks is, as `pipelines.parsed_json` writes it."""
    return f"{document_prefix(tenant_id, document_id)}/{PARSED}"


def export_key(tenant_id: TenantId, export_id: UUID) -> str:
    """Where the archive of an export is."""
    return f"{tenant_id}/exports/{export_id}.zip"


class BlobStore:
    """`objects_url` is a folder or a URL that fsspec knows (`s3://bucket/prefix`).

    Keys are relative paths of plain names; any other raises ValueError before a store is touched.
    """

    def __init__(self, objects_url: str) -> None:
        # Another process writes here too: a remembered listing would hide its files.
        self._files: Any
        self._files, self._root = url_to_fs(objects_url, use_listings_cache=False)
        self._local = isinstance(self._files, LocalFileSystem)

    async def put(self, key: str, data: bytes) -> None:
        """Store `data`, in place of what was there. Raises StorageFull."""
        path = self._path(key)
        try:
            await asyncio.to_thread(_write_atomically if self._local else self._files.pipe_file, path, data)
        except OSError as error:
            raise (StorageFull() if is_full(error) else error) from error

    async def put_file(self, key: str, file: Path) -> None:
        """Store the content of a local file, in place of what was there, in pieces."""
        path = self._path(key)
        await asyncio.to_thread(_copy_atomically if self._local else self._upload, path, file)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The content in pieces of up to PIECE bytes. Raises NotFound before the first one."""
        path = self._path(key)
        try:
            file = await asyncio.to_thread(self._files.open, path, "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound("The file is not stored any more.") from None
        try:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece
        finally:
            await asyncio.to_thread(file.close)

    async def get(self, key: str) -> bytes:
        """Raises NotFound."""
        path = self._path(key)
        try:
            data: bytes = await asyncio.to_thread(self._files.cat_file, path)
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound("The file is not stored any more.") from None
        return data

    async def delete(self, key: str) -> None:
        """A key that is not there is no error."""
        path = self._path(key)
        with suppress(FileNotFoundError):
            await asyncio.to_thread(self._files.rm_file, path)

    async def delete_prefix(self, prefix: str) -> None:
        """Remove everything under the folder `prefix`; nothing there is no error."""
        path = self._path(prefix.removesuffix("/"))
        with suppress(FileNotFoundError):
            await asyncio.to_thread(self._files.rm, path, recursive=True)

    async def count(self, prefix: str) -> int:
        """Files of any name under the folder `prefix`, also such as are no keys."""
        path = self._path(prefix.removesuffix("/"))
        with suppress(FileNotFoundError):
            return len(await asyncio.to_thread(self._files.find, path))
        return 0

    async def list_keys(self, prefix: str) -> list[str]:
        """The keys under the folder `prefix`, sorted; none when there is no such folder."""
        path = self._path(prefix.removesuffix("/"))
        with suppress(FileNotFoundError):
            found: list[str] = await asyncio.to_thread(self._files.find, path)
            keys = (name.removeprefix(self._root).lstrip("/") for name in found)
            # A write that was cut short leaves a name that is no key.
            return sorted(key for key in keys if _KEY.fullmatch(key))
        return []

    def _upload(self, path: str, file: Path) -> None:
        self._files.put_file(str(file), path)

    def _path(self, key: str) -> str:
        if len(key) > MAX_KEY or not _KEY.fullmatch(key):
            raise ValueError("a blob key is a relative path of plain names")
        return f"{self._root}/{key}"


def _copy_atomically(path: str, source: Path) -> None:
    with source.open("rb") as content:
        _replace(path, lambda file: shutil.copyfileobj(content, file, PIECE))


def _write_atomically(path: str, data: bytes) -> None:
    _replace(path, lambda file: file.write(data))


def _replace(path: str, write: Callable[[Any], Any]) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=target.parent, prefix=".writing-", delete=False) as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
