"""A WebSocket client that costs next to nothing, so that a measurement on one machine is not that of its client.

It reads whole, unfragmented frames as our server and uvicorn send them, and answers pings. Source: RFC 6455, section 5.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
OPEN_SECONDS = 60.0
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: bWVhc3VyZW1lbnQgIGtleQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class LightSocket(asyncio.Protocol):
    """`on_text` gets every text frame, `on_close` the close code once, 1006 when none came."""

    def __init__(self, request: bytes, on_text: Callable[[bytes], None], on_close: Callable[[int], None]) -> None:
        self._request = request
        self._on_text, self._on_close = on_text, on_close
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._code = 1006
        loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.upgraded.done() and not self._read_upgrade():
            return
        buffer, place = self._buffer, 0
        while (end := _end_of_frame(buffer, place)) is not None:
            start = place + _HEAD.get(buffer[place + 1], 2)
            self._frame(buffer[place], bytes(buffer[start:end]))
            place = end
        del buffer[:place]

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        if not self.upgraded.done():
            self.upgraded.set_exception(exc or ConnectionError("closed before the upgrade"))
        else:
            self._on_close(self._code)

    def send(self, text: str) -> None:
        """Masked with zeros, which every server takes as any other key."""
        payload = text.encode()
        size = len(payload)
        head = bytes((0x81, 0x80 | size)) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
        self._write(head + bytes(4) + payload)

    async def close(self) -> None:
        """Say goodbye and wait until the server has closed; cut it off when that takes too long."""
        self._write(b"\x88\x82\0\0\0\0\x03\xe8")
        try:
            await asyncio.wait_for(self.gone.wait(), 5)
        except TimeoutError:
            assert self._transport is not None
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _read_upgrade(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = bytes(self._buffer[: self._buffer.find(b"\r\n")])
        del self._buffer[: end + 4]
        if b" 101 " not in status:
            self.upgraded.set_exception(ConnectionError(status.decode()))
            return False
        self.upgraded.set_result(None)
        return True

    def _frame(self, first: int, payload: bytes) -> None:
        assert first & 0x80, "a fragmented frame"
        kind = first & 0x0F
        if kind == TEXT:
            self._on_text(payload)
        elif kind == PING:
            self._write(bytes((0x80 | PONG, 0x80 | len(payload))) + bytes(4) + payload)
        elif kind == CLOSE:
            self._code = int.from_bytes(payload[:2]) if payload else 1005
            self._write(b"\x88\x80\0\0\0\0")
            assert self._transport is not None
            self._transport.close()


_HEAD = {126: 4, 127: 10}


def _end_of_frame(buffer: bytearray, place: int) -> int | None:
    """Where the frame that begins at `place` ends; None while it is not whole."""
    have = len(buffer) - place
    if have < 2:
        return None
    size = buffer[place + 1]
    head = _HEAD.get(size, 2)
    if have < head:
        return None
    if head > 2:
        size = int.from_bytes(buffer[place + 2 : place + head])
    return place + head + size if have >= head + size else None


async def open_light(url: str, on_text: Callable[[bytes], None], on_close: Callable[[int], None]) -> LightSocket:
    """Raises OSError when the server does not upgrade."""
    parts = urlsplit(url)
    request = _UPGRADE.format(path=parts.path, host=parts.netloc).encode()
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: LightSocket(request, on_text, on_close), parts.hostname or "", parts.port or 80
    )
    await asyncio.wait_for(socket.upgraded, OPEN_SECONDS)
    return socket
