"""The chat client: one session over as many sockets as it takes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from cluster.client.answer import Answer, ChatError
from cluster.client.backoff import Backoff, CloseAction, close_action, retry_after_of
from cluster.client.connection import Connection, ConnectionLost, Observe
from cluster.client.session_state import SessionState
from cluster.client.turn_view import Frame, ProtocolViolation, TurnView
from domain.ids import new_uuid
from domain.wire import MessageFrame, RegenerateFrame

CONNECT_SECONDS = 30.0
MOST_REFUSALS = 3
_DEFAULT_BACKOFF = Backoff()
_FATAL = {
    1008: ("policy", "The platform refuses this client."),
    4401: ("not_authenticated", "Sign in again."),
    4403: ("forbidden", "You may not do this."),
    4404: ("not_found", "There is no such session."),
}


class ChatClient:
    """One session's socket: reconnects with jitter, resumes turns, sends what is unacknowledged again.

    `url` is the platform's, like `http://host:port`. A `token` that is a function is asked for every connection; it
    raises ChatError to give up, OSError to be asked again. `observe(kind, fields)` sees everything, the token in
    `auth` too: `connected` {}, `closed` {code, reason}, `sent` {frame}, `received` {frame} and `violation` {error}.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], Awaitable[str]],
        chatbot_id: str,
        session_id: str,
        *,
        backoff: Backoff = _DEFAULT_BACKOFF,
        observe: Callable[[str, dict[str, Any]], None] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        base = f"ws{url.removeprefix('http')}".rstrip("/") if url.startswith("http") else url.rstrip("/")
        self.violations: list[ProtocolViolation] = []
        self._address = f"{base}/chatbots/{chatbot_id}/sessions/{session_id}/ws"
        self._token = token
        self._backoff = backoff
        self._watch: Observe | None = observe
        self._connect_seconds = connect_seconds
        self._state = SessionState(lambda violation: self._observe("violation", {"error": violation}))
        self._settled = asyncio.Event()
        """Set once it was ready for the first time, or never will be."""
        self._connection: Connection | None = None
        self._live: set[Connection] = set()
        self._refusals = 0
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect and sign in. Raises ChatError, `unavailable` when it takes longer than `connect_seconds`."""
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(self._stopped)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._settled.wait()
            if self._state.fatal is not None:
                raise self._state.fatal
        except TimeoutError:
            await self._end()
            raise ChatError("unavailable", f"No session within {self._connect_seconds:g} seconds.") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def ready(self) -> Frame:
        """The last `ready` frame."""
        return self._state.ready

    def turns(self) -> Mapping[str, TurnView]:
        """What is known of the last turns, by id; those that other tabs began are among them."""
        return MappingProxyType(self._state.views)

    def ask(self, text: str, *, id: UUID | None = None, edits: str | None = None) -> Answer:  # noqa: A002
        """Ask; it is sent until it is acknowledged. An `id` whose answer is still awaited is sent again.

        Raises ValueError for a text that the protocol does not take.
        """
        frame = MessageFrame(type="message", id=id or new_uuid(), text=text, edits=UUID(edits) if edits else None)
        return self._state.ask(frame.model_dump(mode="json", exclude_none=True), self._connection)

    def regenerate(self, turn_id: str, *, id: UUID | None = None) -> Answer:  # noqa: A002
        """Have the question of a turn answered again, in a branch of its own."""
        frame = RegenerateFrame(type="regenerate", id=id or new_uuid(), turn_id=UUID(turn_id))
        return self._state.ask(frame.model_dump(mode="json"), self._connection)

    async def stop(self, turn_id: str | None = None) -> None:
        """End the turn, or the running one; its answer ends with the state `stopped`."""
        self._state.stop(turn_id, self._connection)

    async def delivered(self, message_id: str) -> None:
        """Tell that this answer and all before it were shown."""
        self._state.delivered(message_id, self._connection)

    async def disconnect(self) -> None:
        """Drop the connection without a close handshake, as a network does; the client connects again by itself."""
        connection = self._connection
        if connection is not None:
            connection.leave()
            await connection.lost()

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                connection = await self._open()
                while True:
                    connection = await self._serve(connection)
            except ChatError as error:
                self._give_up(error)
                return
            except ConnectionLost as lost:
                self._observe("closed", {"code": lost.code, "reason": lost.reason})
                verdict = self._verdict(lost)
                if verdict is not None:
                    self._give_up(verdict)
                    return
                if self._connection is not None and self._connection.age() >= self._backoff.steady:
                    attempt = 0
                self._connection = None
                delay = self._backoff.delay(attempt, retry_after_of(lost.reason))
            attempt += 1
            await asyncio.sleep(delay)

    async def _open(self) -> Connection:
        """Raises ConnectionLost, or ChatError when there is no token to be had."""
        try:
            token = self._token if isinstance(self._token, str) else await self._token()
        except OSError as error:
            raise ConnectionLost(1006, f"no token ({type(error).__name__})") from error
        return await Connection.open(self._address, token, self._state.resumable(), self._received, self._observe)

    async def _serve(self, connection: Connection) -> Connection:
        """Returns the connection that took its place. Raises ConnectionLost at its end."""
        ended = asyncio.create_task(connection.lost())
        move = asyncio.create_task(self._move(connection))
        try:
            await asyncio.wait((ended, move), return_when=asyncio.FIRST_COMPLETED)
            if move.done() and (successor := move.result()) is not None:
                connection.retire()
                return successor
            raise await ended
        finally:
            move.cancel()
            ended.cancel()
            await asyncio.wait((move, ended))

    async def _move(self, connection: Connection) -> Connection | None:
        """Once the server asks for it, another connection, signed in; None when that fails."""
        within = await connection.must_move
        await asyncio.sleep(within * self._backoff.random())
        try:
            return await self._open()
        except ChatError:
            # The end of the old connection asks for a token again, and decides.
            return None
        except ConnectionLost as lost:
            self._observe("closed", {"code": lost.code, "reason": lost.reason})
            return None

    def _received(self, frame: Frame, connection: Connection) -> None:
        if frame["type"] == "ready":
            # At once: a question of the next moment must not go to the connection that this one replaces.
            self._connection = connection
            self._live = {other for other in self._live if not other.ended} | {connection}
            self._refusals = 0
            self._observe("connected", {})
        self._state.take(frame, connection)
        self._settled.set()

    def _verdict(self, lost: ConnectionLost) -> ChatError | None:
        """Why not to come back; None when the client may."""
        action = close_action(lost.code)
        if action is CloseAction.SIGN_IN and not isinstance(self._token, str):
            self._refusals += 1
            if self._refusals <= MOST_REFUSALS:
                return None
        if action is CloseAction.RECONNECT:
            return None
        code, message = _FATAL[lost.code]
        if lost.error is not None and (lost.error["code"] == code or lost.code == 1008):
            return ChatError.of(lost.error)
        return ChatError(code, message)

    def _give_up(self, error: ChatError) -> None:
        self._connection = None
        self._state.fail(error)
        self._settled.set()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._give_up(ChatError("internal_error", f"The client failed: {task.exception()!r}."))

    async def _end(self) -> None:
        """Close everything. Raises what made the client fail, where it was not the server or the network."""
        task, self._running = self._running, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._give_up(self._state.fatal or ChatError("closed", "The client is closed."))
        for connection in self._live:
            await connection.close()
        self._live.clear()
        if task is not None and not task.cancelled() and (failure := task.exception()) is not None:
            raise failure

    def _observe(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "violation":
            self.violations.append(fields["error"])
        if self._watch is not None:
            self._watch(kind, fields)
