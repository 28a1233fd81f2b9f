"""The end of a gateway replica that is being replaced: its sockets are asked to move before they are closed."""

import asyncio
from typing import Protocol

import structlog

from domain.errors import Unavailable

log = structlog.get_logger()

GOING_AWAY = 1012
SPREAD_SECONDS = 5.0
"""Over how long the clients spread their new connections."""


class Movable(Protocol):
    async def move(self, within_seconds: float) -> None:
        """Ask the client to move; returns when no answer is being written."""

    def end(self, code: int) -> None:
        """Close with this code; harmless when the socket is closed already."""


class Drain:
    def __init__(self) -> None:
        self._sockets: set[Movable] = set()
        self._begun = False
        self.served_at: tuple[str, int | None] | None = None
        """Host and port that this process listens on, known from its first socket; no port for a Unix socket."""

    @property
    def begun(self) -> bool:
        return self._begun

    def require_open(self) -> None:
        """Raises Unavailable once the drain has begun: another replica takes the socket."""
        if self._begun:
            raise Unavailable("This process is being replaced; connect again.", retry_after=1)

    def add(self, socket: Movable) -> None:
        self._sockets.add(socket)

    def remove(self, socket: Movable) -> None:
        self._sockets.discard(socket)

    async def begin(self, grace_seconds: float) -> None:
        """Ask every socket to move; close each with 1012 once its answers are written and its client had the time to
        move, and all at the end of `grace_seconds`. Returns when all were told to close; the first call counts."""
        if self._begun:
            return
        self._begun = True
        sockets = list(self._sockets)
        log.info("drain.begun", sockets=len(sockets))
        try:
            async with asyncio.timeout(grace_seconds):
                await asyncio.gather(*(self._move(socket) for socket in sockets))
        except TimeoutError:
            log.info("drain.over", sockets=len(self._sockets))
        for socket in list(self._sockets):
            socket.end(GOING_AWAY)

    async def _move(self, socket: Movable) -> None:
        await asyncio.gather(socket.move(SPREAD_SECONDS), asyncio.sleep(SPREAD_SECONDS))
        socket.end(GOING_AWAY)
