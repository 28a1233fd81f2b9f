"""One chat socket: signs in, passes questions to the tenant's live session, and sends its events as frames."""

import asyncio
import time
from contextlib import ExitStack, suppress
from typing import NoReturn
from uuid import UUID

import structlog
from fastapi import WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from deployments.gateway.errors import request_id_in
from deployments.gateway.frame_limit import FrameLimit
from deployments.gateway.frames import error_frame, pong_frame, ready_frame
from deployments.gateway.incoming import AlreadyAuthenticated, origin_allowed, parse_frame
from deployments.gateway.send_queue import SendQueue, SlowReader
from deployments.gateway.services import GatewayServices
from deployments.gateway.socket_turns import SocketTurns
from deployments.gateway.tokens import Verified
from domain.errors import AppError, NotAuthenticated, NotFound, QuotaExceeded, RateLimited, Unavailable
from domain.ids import SessionId, new_uuid
from domain.wire import AuthFrame, ClientFrame, MessageFrame, PingFrame, StopFrame

log = structlog.get_logger()

NORMAL, POLICY, TRY_AGAIN, UNAUTHENTICATED, NOT_FOUND = 1000, 1008, 1013, 4401, 4404
SLOW_READER_SECONDS = 10.0
DRAIN_SECONDS = 1.0
CLOSE_SECONDS = 1.0
_CLOSE_CODES: tuple[tuple[type[AppError], int], ...] = (
    (NotAuthenticated, UNAUTHENTICATED),
    (NotFound, NOT_FOUND),
    (Unavailable, TRY_AGAIN),
    (QuotaExceeded, TRY_AGAIN),
)


class CloseSocket(Exception):
    """Ends the socket with a close code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


class ChatSocket:
    """Raises nothing: what goes wrong is an error frame, or a close code when the socket cannot go on."""

    def __init__(self, websocket: WebSocket, services: GatewayServices, chatbot_id: str, session_id: str) -> None:
        self._websocket = websocket
        self._services = services
        self._ids = (chatbot_id, session_id)
        self._request_id = request_id_in(websocket.scope)
        self._limit = FrameLimit()
        self._queue = SendQueue(self._request_id, SLOW_READER_SECONDS)
        self._failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._turns: SocketTurns | None = None
        self._places = ExitStack()

    async def run(self) -> None:
        websocket, services = self._websocket, self._services
        if not origin_allowed(websocket.headers, services.settings.allowed_origins):
            # Not accepted: the browser gets 403 for the handshake.
            await websocket.close(POLICY)
            return
        with self._places:
            try:
                self._places.enter_context(services.census.enter())
            except Unavailable:
                await websocket.accept()
                await self._close(TRY_AGAIN)
                return
            await websocket.accept()
            services.metrics.sockets.inc()
            self._places.callback(services.metrics.sockets.dec)
            await self._serve()

    async def _serve(self) -> None:
        """Read, send and watch the token side by side; the first to end ends the socket."""
        jobs = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        code = NORMAL
        try:
            ways: list[asyncio.Future[NoReturn]] = [*jobs, self._failed]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for ended in ways:
                if ended.done() and not ended.cancelled() and (error := ended.exception()):
                    raise error
        except asyncio.CancelledError:
            code = 0
            raise
        except CloseSocket as close:
            code = close.code
        except SlowReader:
            code = TRY_AGAIN
        except (WebSocketDisconnect, RuntimeError, OSError):
            # The client is gone, or goes while something is sent.
            code = 0
        except Exception:
            log.exception("socket.failed")
            code = 1011
        finally:
            # The server may cancel this handler when the client leaves; the clean-up still has to be whole.
            await asyncio.shield(asyncio.ensure_future(self._clean_up(jobs, code)))

    async def _clean_up(self, jobs: list[asyncio.Task[NoReturn]], code: int) -> None:
        reader, sender = jobs
        reader.cancel()
        if code and code != TRY_AGAIN:
            # Let the error frame that says why go out before the close.
            drained = asyncio.create_task(self._queue.drained())
            await asyncio.wait((drained, sender), timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
        sender.cancel()
        await asyncio.wait(jobs)
        if not self._failed.cancel():
            self._failed.exception()
        if self._turns is not None:
            await self._turns.close()
        if code:
            await self._close(code)

    async def _close(self, code: int) -> None:
        self._services.metrics.socket_closes.labels(str(code)).inc()
        # A client that does not read keeps even the close frame waiting; the server drops it when this returns.
        with suppress(RuntimeError, WebSocketDisconnect, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code)

    async def _send(self) -> NoReturn:
        while True:
            for frame in await self._queue.take():
                await self._websocket.send_text(frame)
                self._services.metrics.frames_out.inc()
            self._queue.sent()

    async def _read(self) -> NoReturn:
        try:
            async with asyncio.timeout(self._services.settings.socket_auth_seconds):
                auth = await self._authenticated()
        except TimeoutError:
            await self._complain(NotAuthenticated("Sign in with an `auth` frame first."))
            raise CloseSocket(UNAUTHENTICATED) from None
        turns, verified = await self._open(auth)
        expiry = asyncio.create_task(self._expire(verified, turns))
        try:
            while True:
                frame = await self._next_frame()
                if frame is not None:
                    await self._handle(frame, turns)
        finally:
            expiry.cancel()

    async def _authenticated(self) -> AuthFrame:
        while True:
            frame = await self._next_frame()
            if isinstance(frame, AuthFrame):
                return frame
            if frame is not None:
                about = str(frame.id) if isinstance(frame, MessageFrame) else None
                await self._complain(NotAuthenticated("Sign in with an `auth` frame first."), about)

    async def _open(self, auth: AuthFrame) -> tuple[SocketTurns, Verified]:
        """Check the token and find the session. Raises CloseSocket after an error frame that says why."""
        try:
            verified = self._services.tokens.verify(auth.token)
            tenant_id = verified.principal.tenant_id
            structlog.contextvars.bind_contextvars(tenant_id=str(tenant_id))
            chatbot_id, session_id = _uuids(*self._ids)
            info = await self._services.conversations.open_session(tenant_id, session_id, new_uuid().hex)
            if info["chatbot_id"] != str(chatbot_id):
                raise NotFound("There is no such session.")
            self._places.enter_context(self._services.census.enter_tenant(tenant_id, info["max_connections"]))
        except AppError as error:
            await self._complain(error)
            code = next((code for kind, code in _CLOSE_CODES if isinstance(error, kind)), TRY_AGAIN)
            raise CloseSocket(code) from None
        turns = SocketTurns(self._services, tenant_id, session_id, self._queue, self._request_id, self._failed)
        self._turns = turns
        await self._queue.put(ready_frame(info, str(session_id)))
        if auth.resume is not None:
            turns.resume(auth.resume)
        return turns, verified

    async def _handle(self, frame: ClientFrame, turns: SocketTurns) -> None:
        try:
            if isinstance(frame, PingFrame):
                await self._queue.put(pong_frame(frame.nonce))
            elif isinstance(frame, MessageFrame):
                turns.submit(frame)
            elif isinstance(frame, StopFrame):
                await turns.stop(frame.turn_id)
            else:
                raise AlreadyAuthenticated
        except AppError as error:
            await self._complain(error, str(frame.id) if isinstance(frame, MessageFrame) else None)

    async def _next_frame(self) -> ClientFrame | None:
        """The next frame, or None for one that was answered with an error."""
        message: Message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        self._services.metrics.frames_in.inc()
        if not self._limit.allow():
            if self._limit.abused:
                raise CloseSocket(POLICY)
            await self._complain(RateLimited("Too many frames; slow down.", retry_after=1))
            return None
        try:
            return parse_frame(message)
        except AppError as error:
            await self._complain(error)
            return None

    async def _expire(self, verified: Verified, turns: SocketTurns) -> None:
        """Close the socket once its token has expired and no answer is being written."""
        await asyncio.sleep(max(0.0, verified.expires_at - time.time()))
        await turns.wait_idle()
        await self._complain(NotAuthenticated("The access token has expired; connect again."))
        if not self._failed.done():
            self._failed.set_exception(CloseSocket(UNAUTHENTICATED))

    async def _complain(self, error: AppError, message_id: str | None = None) -> None:
        await self._queue.put(error_frame(error, self._request_id, message_id=message_id))


def _uuids(chatbot_id: str, session_id: str) -> tuple[UUID, SessionId]:
    try:
        return UUID(chatbot_id), SessionId(UUID(session_id))
    except ValueError:
        raise NotFound("There is no such session.") from None
