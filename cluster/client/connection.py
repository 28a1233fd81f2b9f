"""One WebSocket of a session: signs in, reads frames, writes what is posted, and notices when nobody is there."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from cluster.client.readings import Readings
from cluster.client.turn_view import Frame, ProtocolViolation, TurnView
from domain.wire import server_frame

Observe = Callable[[str, dict[str, Any]], None]

OPEN_SECONDS = 10.0
READY_SECONDS = 30.0
PING_SECONDS = 20.0
CLOSE_SECONDS = 2.0
QUIET_SECONDS = 30.0
MAX_BYTES = 4 * 1024 * 1024
_KNOWN = frozenset(
    ("ready", "ack", "status", "token", "gap", "citations", "done", "error", "reconnect", "pong"),
)


class ConnectionLost(Exception):
    """There is no connection, or no longer."""

    def __init__(self, code: int, reason: str, error: Frame | None = None) -> None:
        self.code = code
        self.reason = reason
        self.error = error
        """The error frame that came before the close."""
        super().__init__(f"{code} {reason}".strip())


class Connection:
    """A `Link` of the session's state. `received` gets every known frame except `pong`, from `ready` on."""

    def __init__(self, socket: ClientConnection, resumed: TurnView | None, observe: Observe) -> None:
        loop = asyncio.get_running_loop()
        self.readings = Readings(resumed)
        self.resumed = resumed.turn_id if resumed else None
        self.ready_at = 0.0
        self.must_move: asyncio.Future[float] = loop.create_future()
        """Seconds within which another connection has to take over, once the server says so."""
        self._loop = loop
        self._socket = socket
        self._observe = observe
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue()
        self._error: Frame | None = None
        self._heard_at = loop.time()
        self._beat: asyncio.TimerHandle | None = None
        self._closer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[ConnectionLost] | None = None
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        address: str,
        token: str,
        resumed: TurnView | None,
        received: Callable[[Frame, "Connection"], None],
        observe: Observe,
    ) -> Self:
        """Connect and sign in; returns after `ready`. Raises ConnectionLost."""
        try:
            socket = await connect(
                address,
                compression=None,
                proxy=None,
                max_size=MAX_BYTES,
                open_timeout=OPEN_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            # The handshake of a socket that policy refuses ends like this; anything else may pass.
            raise ConnectionLost(1008 if status == 403 else 1006, f"status {status}") from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise ConnectionLost(1006, type(error).__name__) from error
        connection = cls(socket, resumed, observe)
        try:
            await connection._sign_in(token, resumed, received)
        except BaseException:
            socket.transport.abort()
            raise
        connection._start(received)
        return connection

    def post(self, frame: Frame) -> None:
        self._outgoing.put_nowait(frame)

    def leave(self) -> None:
        """Drop the TCP connection now, without a close handshake."""
        self._socket.transport.abort()

    @property
    def ended(self) -> bool:
        return self._reader is not None and self._reader.done()

    def age(self) -> float:
        """Seconds since it was signed in."""
        return self._loop.time() - self.ready_at

    def retire(self) -> None:
        """Begin to close it in the proper way; what still comes is taken."""
        if self._closer is None:
            self._closer = asyncio.create_task(self._socket.close())

    async def lost(self) -> ConnectionLost:
        """Returns how it ended, once it has."""
        assert self._reader is not None
        return await asyncio.shield(self._reader)

    async def close(self) -> None:
        """Close it in the proper way, and wait for its tasks."""
        self.retire()
        assert self._closer is not None
        await self._closer
        await self.lost()

    async def _sign_in(
        self, token: str, resumed: TurnView | None, received: Callable[[Frame, "Connection"], None]
    ) -> None:
        auth: Frame = {"type": "auth", "token": token}
        if resumed is not None:
            auth["resume"] = {"turn_id": resumed.turn_id, "seq": resumed.seq}
            if resumed.seq:
                auth["resume"]["epoch"] = resumed.epoch
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._send(auth)
                while not self.ready_at:
                    frame = self._parsed(await self._socket.recv())
                    if frame is not None and frame["type"] == "error":
                        self._error = frame
                    elif frame is not None and frame["type"] == "ready":
                        self.ready_at = self._loop.time()
                        received(frame, self)
        except TimeoutError as error:
            raise ConnectionLost(1006, "no answer to the sign-in") from error
        except ConnectionClosed as error:
            raise self._ended() from error

    def _start(self, received: Callable[[Frame, "Connection"], None]) -> None:
        self._reader = asyncio.create_task(self._read(received))
        self._writer = asyncio.create_task(self._write())
        self._beat = self._loop.call_later(QUIET_SECONDS, self._look, QUIET_SECONDS)

    async def _read(self, received: Callable[[Frame, "Connection"], None]) -> ConnectionLost:
        try:
            while True:
                frame = self._parsed(await self._socket.recv())
                if frame is None or frame["type"] == "pong":
                    continue
                if frame["type"] == "reconnect":
                    if not self.must_move.done():
                        self.must_move.set_result(frame["within_seconds"])
                    continue
                if frame["type"] == "error":
                    self._error = frame
                received(frame, self)
        except ConnectionClosed:
            return self._ended()
        finally:
            self._finish()

    async def _write(self) -> None:
        while True:
            try:
                await self._send(await self._outgoing.get())
            except ConnectionClosed:
                return

    async def _send(self, frame: Frame) -> None:
        self._observe("sent", {"frame": frame})
        # Not escaped: a long question in another script would be longer than a frame may be.
        await self._socket.send(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    def _parsed(self, text: str | bytes) -> Frame | None:
        """The frame, or None for one that this client does not know; a newer server may send those."""
        self._heard_at = self._loop.time()
        try:
            frame = json.loads(text)
            if isinstance(frame, dict) and isinstance(frame.get("type"), str) and frame["type"] not in _KNOWN:
                return None
            server_frame.validate_python(frame)
        except (ValueError, ValidationError) as error:
            wrong = ProtocolViolation(f"not a frame of the protocol: {type(error).__name__}", {"text": str(text)[:500]})
            self._observe("violation", {"error": wrong})
            return None
        self._observe("received", {"frame": frame})
        known: Frame = frame
        return known

    def _look(self, patience: float) -> None:
        """After some quiet ask for a sign of life; give the connection up when none comes."""
        quiet = self._loop.time() - self._heard_at
        if quiet < patience:
            self._beat = self._loop.call_later(QUIET_SECONDS - min(quiet, QUIET_SECONDS - 1), self._look, QUIET_SECONDS)
        elif patience > QUIET_SECONDS:
            self.leave()
        else:
            self.post({"type": "ping", "nonce": ""})
            self._beat = self._loop.call_later(PING_SECONDS, self._look, QUIET_SECONDS + PING_SECONDS / 2)

    def _ended(self) -> ConnectionLost:
        return ConnectionLost(self._socket.close_code or 1006, self._socket.close_reason or "", self._error)

    def _finish(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self._writer is not None:
            self._writer.cancel()
