"""A bare socket of the chat protocol, without reconnection or bookkeeping, for what a good client never does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.journal import Reader
from tests.faults.world import Tenant, World

LOST = (OSError, TimeoutError, EOFError, WebSocketException)
"""What a socket may end with while the platform is hurt."""


class RawSocket:
    def __init__(self, socket: ClientConnection, reader: Reader) -> None:
        self._socket = socket
        self._reader = reader

    async def send(self, frame: dict[str, Any]) -> None:
        self._reader.observe("sent", {"frame": frame})
        await self._socket.send(json.dumps(frame))

    async def until(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these types, or the next error."""
        while True:
            frame: dict[str, Any] = json.loads(await self._socket.recv())
            self._reader.observe("received", {"frame": frame})
            if frame["type"] in (*kinds, "error"):
                return frame

    def go_deaf(self) -> None:
        """Read nothing more, so that the server's frames pile up on its side."""
        self._socket.transport.pause_reading()


@asynccontextmanager
async def raw_socket(world: World, tenant: Tenant, session_id: str, reader: Reader) -> AsyncIterator[RawSocket]:
    """A signed-in socket; its end is abrupt. Raises one of LOST."""
    url = f"{world.platform.url.replace('http', 'ws')}/chatbots/{tenant.bot}/sessions/{session_id}/ws"
    socket = await connect(url, compression=None, proxy=None, open_timeout=5, close_timeout=0.5)
    try:
        raw = RawSocket(socket, reader)
        await raw.send({"type": "auth", "token": tenant.token})
        frame = await raw.until("ready")
        if frame["type"] != "ready":
            raise ConnectionError(frame["code"])
        yield raw
    finally:
        socket.transport.abort()
        await socket.wait_closed()
