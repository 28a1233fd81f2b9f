"""Frames on the wire: a nine-byte header (body size, kind, stream) and a msgpack body."""

import struct
from enum import IntEnum
from typing import Any

import msgpack

HEADER = struct.Struct("!IBI")
MAX_STREAM = 0xFFFF_FFFF
BATCH_ITEMS = 512
"""Items of one ITEMS frame, so that a reader can let its consumers run between frames."""
_ARRAY_HEADER = 5
"""Largest size of a msgpack array header."""


class Kind(IntEnum):
    HELLO = 1
    """Either side, before anything else: see handshake.py."""
    PING = 2
    """Either side, no body: the sender lives."""
    OPEN = 3
    """Client: [method, payload]."""
    CANCEL = 4
    """Client, no body: the stream is no longer wanted."""
    ITEMS = 5
    """Server: [item, ...]."""
    END = 6
    """Server, no body: the stream is complete."""
    ERROR = 7
    """Server: [code, message, retry_after in seconds or None]; ends the stream."""


class BadFrame(Exception):
    """The peer does not speak this protocol; the connection cannot be used any more."""


def pack(value: Any) -> bytes:
    """Msgpack of plain data. Raises TypeError, ValueError or OverflowError for anything else."""
    data: bytes = msgpack.packb(value)
    return data


def frame(kind: Kind, stream: int, body: bytes | bytearray = b"") -> bytes:
    return HEADER.pack(len(body), kind, stream) + body


class Batch:
    """Packed items of one stream that leave in one ITEMS frame."""

    __slots__ = ("_count", "_items")

    def __init__(self) -> None:
        self._count = 0
        self._items = bytearray()

    def fits(self, item: bytes, limit: int) -> bool:
        """Whether the frame's body stays within `limit` bytes with this item."""
        return self._count < BATCH_ITEMS and len(self._items) + len(item) + _ARRAY_HEADER <= limit

    def add(self, item: bytes) -> None:
        self._count += 1
        self._items += item

    def frame(self, stream: int) -> bytes:
        head = bytes((0x90 | self._count,)) if self._count < 16 else b"\xdc" + self._count.to_bytes(2, "big")
        return HEADER.pack(len(head) + len(self._items), Kind.ITEMS, stream) + head + self._items


class Decoder:
    """Cuts received bytes into frames; `limit` bounds the body and may change between frames."""

    __slots__ = ("_buffer", "_offset", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._offset = 0

    def feed(self, data: bytes) -> None:
        if self._offset:
            del self._buffer[: self._offset]
            self._offset = 0
        self._buffer += data

    def next(self) -> tuple[int, int, Any] | None:
        """(kind, stream, body) of the next whole frame, or None. Raises BadFrame."""
        start = self._offset + HEADER.size
        if len(self._buffer) < start:
            return None
        size, kind, stream = HEADER.unpack_from(self._buffer, self._offset)
        if size > self.limit:
            raise BadFrame(f"a frame of {size} bytes; {self.limit} are allowed")
        end = start + size
        if len(self._buffer) < end:
            return None
        self._offset = end
        if not size:
            return kind, stream, None
        try:
            # Keys other than text are plain data too; peers have proved themselves before bodies get large.
            body = msgpack.unpackb(self._buffer[start:end], strict_map_key=False)
        except Exception as error:  # the C unpacker raises a handful of unrelated types on garbage
            raise BadFrame(f"an undecodable body: {type(error).__name__}") from error
        return kind, stream, body
