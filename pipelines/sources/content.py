"""The bytes of one file that is coming in: hashed as they come, in memory while few, on disk when many."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import IO, Self

from domain.errors import TooLarge
from pipelines.parsing.detect import HEAD_BYTES
from pipelines.sources.expand_limits import too_large_sentence

MEMORY_BYTES = 1024 * 1024
PIECE = 256 * 1024


class Content:
    """Written piece by piece, then read any number of times; to be closed."""

    def __init__(self) -> None:
        self.size = 0
        self.head = b""
        """The first HEAD_BYTES of it."""
        self._hash = hashlib.sha256()
        self._stream: IO[bytes] = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115

    @classmethod
    async def taken(cls, stream: IO[bytes], max_bytes: int) -> Self:
        """Of an open file, which is read once here and then belongs to the content; nothing is copied.

        Raises TooLarge and OSError; the file is closed then.
        """
        content = cls()
        content.close()
        content._stream = stream
        try:
            if os.fstat(stream.fileno()).st_size > max_bytes:
                raise TooLarge(too_large_sentence(max_bytes))
            while data := await asyncio.to_thread(stream.read, PIECE):
                content._note(data)
                if content.size > max_bytes:
                    raise TooLarge(too_large_sentence(max_bytes))
        except BaseException:
            stream.close()
            raise
        return content

    @property
    def content_hash(self) -> str:
        """SHA-256, hexadecimal."""
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        self._note(data)
        if self.size <= MEMORY_BYTES:
            self._stream.write(data)
        else:
            await asyncio.to_thread(self._stream.write, data)

    async def read(self) -> bytes:
        """The whole content."""
        return await asyncio.to_thread(self.open().read)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The content again, at most PIECE bytes at a time."""
        stream = self.open()
        while data := await asyncio.to_thread(stream.read, PIECE):
            yield data

    def open(self) -> IO[bytes]:
        """The file at its beginning; it still belongs to the content."""
        self._stream.seek(0)
        return self._stream

    def close(self) -> None:
        self._stream.close()

    def _note(self, data: bytes) -> None:
        self.size += len(data)
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        self._hash.update(data)
