"""uvicorn's WebSocket protocol as this gateway needs it: uncompressed, bounded, and light while a socket is idle.

Serve makes uvicorn's configuration itself and has no option for any of this. uvicorn finds the protocol by name, so
that is where this one takes its place: see `install`.
"""

import asyncio
from typing import Any

from uvicorn.config import WS_PROTOCOLS, Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

MAX_MESSAGE_BYTES = 1024 * 1024
"""Well above the largest frame of the protocol, so that a frame too large is answered; beyond it the close is 1009."""
MAX_UNSENT_BYTES = 1024 * 1024
CLOSE_SECONDS = 5.0
"""How long the client may take to answer a close, and to read what was sent before it."""


class ChatProtocol(WebSocketsSansIOProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # permessage-deflate would hold 40 KB for every socket.
        config.ws_per_message_deflate = False
        config.ws_max_size = MAX_MESSAGE_BYTES
        super().__init__(config, server_state, app_state, _loop)
        self.close_timeout = CLOSE_SECONDS

    def start_keepalive(self) -> None:
        super().start_keepalive()
        # The handshake is over, and would stay in memory for as long as the socket is open.
        del self.request, self.response

    def handle_ping(self) -> None:
        super().handle_ping()
        # Pongs are not part of the application's queue; a client that asks for them and reads nothing is dropped.
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_unsent()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        # A closing transport first sends what it holds, which a client that reads nothing can put off for ever.
        if not self.disconnected:
            self.loop.call_later(self.close_timeout, self._abort_unsent)

    def _abort_unsent(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


def install() -> None:
    """Make uvicorn use this protocol for every server of the process that begins from now on."""
    WS_PROTOCOLS["auto"] = f"{ChatProtocol.__module__}:{ChatProtocol.__qualname__}"
