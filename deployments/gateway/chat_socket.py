"""One chat socket: signs in, passes questions to the tenant's live session, and sends its events as frames."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import NoReturn
from uuid import UUID

import structlog
from starlette.types import Receive, Send

from deployments.gateway.closing import FAILED, GONE, NOT_FOUND, POLICY, UNAUTHENTICATED, CloseSocket, TooSlow
from deployments.gateway.frame_limit import FrameLimit
from deployments.gateway.frames import Event, error_frame, pong_frame, ready_frame, reconnect_frame
from deployments.gateway.incoming import AlreadyAuthenticated, parse_frame
from deployments.gateway.page_origin import PageOrigin
from deployments.gateway.principal import caller_of, permitted_chatter
from deployments.gateway.send_queue import SendQueue, SlowReader
from deployments.gateway.services import GatewayServices
from deployments.gateway.socket_turns import SocketTurns
from deployments.gateway.unattended import unattended
from domain.conversation import Question
from domain.errors import AppError, NotAuthenticated, NotFound, RateLimited
from domain.ids import MessageId, SessionId, TurnId
from domain.permissions import Permission
from domain.tenancy import Chatter
from domain.wire import AuthFrame, ClientFrame, DeliveredFrame, MessageFrame, PingFrame, RegenerateFrame, StopFrame
from storage.postgres.callers import Caller

log = structlog.get_logger()

SLOW_READER_SECONDS = 10.0
FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 1.0
DAY_SECONDS = 86_400.0


class ChatSocket:
    """An accepted socket. Raises nothing: what goes wrong is an error frame, or a close code when it cannot go on.

    The handler's own task reads, and waits for nothing else once it is signed in; another task sends for as long as
    something waits to be sent. Whatever else has to end the socket calls `end`. There are thousands that only wait:
    what an idle one keeps is kept small.
    """

    __slots__ = (
        "_caller",
        "_ending",
        "_expiry",
        "_limit",
        "_locale",
        "_page",
        "_queue",
        "_reader",
        "_receive",
        "_request_id",
        "_send",
        "_sender",
        "_services",
        "_turns",
    )

    def __init__(
        self, services: GatewayServices, request_id: str, page: PageOrigin, locale: str, receive: Receive, send: Send
    ) -> None:
        self._services = services
        self._request_id = request_id
        self._page = page
        self._locale = locale
        self._receive = receive
        self._send = send
        self._limit = FrameLimit()
        self._queue = SendQueue(request_id, SLOW_READER_SECONDS, self._wake_sender)
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._ending: CloseSocket | None = None
        self._expiry: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._turns: SocketTurns | None = None
        self._caller: Caller | None = None

    async def run(self, chatbot_id: str, session_id: str) -> None:
        """Serve until either side ends it. Call once."""
        ending = CloseSocket(GONE)
        self._reader = asyncio.current_task()
        self._services.drain.add(self)
        try:
            await self._read(chatbot_id, session_id)
        except asyncio.CancelledError:
            # By `end`, or by the server when the client has left.
            if self._ending is None or self._reader is None or self._reader.uncancel():
                raise
            ending = self._ending
        except CloseSocket as close:
            ending = close
        except SlowReader:
            ending = TooSlow()
        except OSError:
            ending = CloseSocket(GONE)
        except Exception:
            log.exception("socket.failed")
            ending = CloseSocket(FAILED)
        finally:
            self._reader = None
            # The server may cancel this handler when the client leaves; the clean-up still has to be whole.
            await asyncio.shield(unattended(self._clean_up(ending)))

    def end(self, code: int) -> None:
        """Close with `code`; the first call counts."""
        self._end(CloseSocket(code))

    def refuse(self, error: AppError) -> None:
        """Close with the reason: whoever opened it may no longer be here."""
        with suppress(SlowReader):
            self._complain(error)
        self._end(CloseSocket.because_of(error))

    async def move(self, within_seconds: float) -> None:
        """Ask the client to open another socket; this one ends when its answers are written."""
        with suppress(SlowReader):
            await self._queue.put(reconnect_frame(within_seconds))
        if self._turns is not None:
            await self._turns.wait_idle()

    def _end(self, ending: CloseSocket) -> None:
        if self._ending is None and self._reader is not None:
            self._ending = ending
            self._reader.cancel()

    async def _clean_up(self, ending: CloseSocket) -> None:
        self._services.drain.remove(self)
        if self._caller is not None:
            self._services.access.remove(self._caller, self)
        if self._expiry is not None:
            self._expiry.cancel()
        sender = self._sender
        if ending.code and not isinstance(ending, TooSlow):
            # Let the error frame that says why go out before the close.
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._queue.drained(sender is not None)
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))
        if self._turns is not None:
            await self._turns.close()
        if ending.code:
            self._services.metrics.socket_closes.labels(str(ending.code)).inc()
            await ending.send(self._send, CLOSE_SECONDS)

    def _wake_sender(self) -> None:
        if self._sender is None and self._reader is not None:
            self._sender = asyncio.get_running_loop().create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        try:
            while frames := self._queue.take():
                for frame in frames:
                    await self._send({"type": "websocket.send", "text": frame})
                    self._services.metrics.frames_out.inc()
        except (RuntimeError, OSError):
            # The client left meanwhile; the server says so with one or the other.
            self.end(GONE)
        except Exception:
            log.exception("socket.send_failed")
            self.end(FAILED)
        finally:
            self._sender = None
            self._queue.sent()

    async def _read(self, chatbot_id: str, session_id: str) -> NoReturn:
        turns = await self._open(await self._sign_in(), chatbot_id, session_id)
        while True:
            self._handle(await self._next_frame(), turns)

    async def _sign_in(self) -> AuthFrame:
        try:
            async with asyncio.timeout(self._services.settings.socket_auth_seconds):
                while not isinstance(frame := await self._next_frame(), AuthFrame):
                    if frame is not None:
                        about = str(frame.id) if isinstance(frame, MessageFrame | RegenerateFrame) else None
                        self._complain(NotAuthenticated("Sign in with an `auth` frame first."), about)
        except TimeoutError:
            self._complain(NotAuthenticated("Sign in with an `auth` frame first."))
            raise CloseSocket(UNAUTHENTICATED) from None
        return frame

    async def _open(self, auth: AuthFrame, chatbot_id: str, session_id: str) -> SocketTurns:
        """Check the token and find the session. Raises CloseSocket after an error frame that says why."""
        services = self._services
        try:
            verified = await permitted_chatter(services, auth.token, Permission.CONVERSATIONS_REPLY, self._page)
            chatter = verified.chatter
            chatbot, session = _uuids(chatbot_id, session_id)
            info = await services.conversations.open_session(chatter.tenant_id, session)
            if info["chatbot_id"] != str(chatbot) or not _may_open(chatter, info):
                raise NotFound("There is no such session.")
            gone, give_up = partial(self.end, NOT_FOUND), self._give_up
            turns = SocketTurns(services, chatter.tenant_id, session, self._queue, self._request_id, give_up, gone)
            turns.enter(info["max_connections"])
        except AppError as error:
            self._complain(error)
            raise CloseSocket.because_of(error) from None
        self._turns = turns
        self._caller = caller_of(verified)
        services.access.add(self._caller, self)
        self._expire_at(verified.expires_at)
        self._queue.put_now(ready_frame(info, str(session)))
        if auth.resume is not None:
            turns.resume(auth.resume)
        return turns

    def _handle(self, frame: ClientFrame | None, turns: SocketTurns) -> None:
        message_id: str | None = None
        try:
            match frame:
                case None:
                    pass
                case PingFrame():
                    self._queue.put_now(pong_frame(frame.nonce))
                case MessageFrame():
                    message_id = str(frame.id)
                    edits = MessageId(frame.edits) if frame.edits else None
                    turns.submit(Question(message_id, frame.text, edits=edits, locale=self._locale))
                case RegenerateFrame():
                    message_id = str(frame.id)
                    turn_id = TurnId(frame.turn_id)
                    turns.submit(Question(message_id, regenerates=turn_id, locale=self._locale))
                case StopFrame():
                    turns.stop(frame.turn_id)
                case DeliveredFrame():
                    turns.delivered(frame.message_id)
                case AuthFrame():
                    raise AlreadyAuthenticated
        except AppError as error:
            self._complain(error, message_id)

    async def _next_frame(self) -> ClientFrame | None:
        """The next frame, or None for one that was answered with an error."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise CloseSocket(GONE)
        self._services.metrics.frames_in.inc()
        if not self._limit.allow():
            if self._limit.abused:
                raise CloseSocket(POLICY)
            self._complain(RateLimited("Too many frames; slow down.", retry_after=1))
            return None
        try:
            return parse_frame(message)
        except AppError as error:
            self._complain(error)
            return None

    def _give_up(self) -> None:
        self._end(TooSlow())

    def _expire_at(self, moment: float) -> None:
        """`moment` is in Unix seconds; a timer does not reach further than a day."""
        seconds = max(0.0, moment - time.time())
        loop = asyncio.get_running_loop()
        if seconds > DAY_SECONDS:
            self._expiry = loop.call_later(DAY_SECONDS, self._expire_at, moment)
        else:
            self._expiry = loop.call_later(seconds, self._token_expired)

    def _token_expired(self) -> None:
        self._expiry = asyncio.get_running_loop().create_task(self._expire())

    async def _expire(self) -> None:
        """Close the socket once its token has expired and no answer is being written."""
        if self._turns is not None:
            await self._turns.wait_idle()
        with suppress(SlowReader):
            self._complain(NotAuthenticated("The access token has expired; connect again."))
        self.end(UNAUTHENTICATED)

    def _complain(self, error: AppError, message_id: str | None = None) -> None:
        """Raises SlowReader."""
        self._queue.put_now(error_frame(error, self._request_id, message_id=message_id))


def _may_open(chatter: Chatter, info: Event) -> bool:
    """A visitor opens their own sessions of their chatbot only."""
    if chatter.visitor_id is None:
        return True
    return bool(info["visitor_id"] == str(chatter.visitor_id) and info["chatbot_id"] == str(chatter.chatbot_id))


def _uuids(chatbot_id: str, session_id: str) -> tuple[UUID, SessionId]:
    try:
        return UUID(chatbot_id), SessionId(UUID(session_id))
    except ValueError:
        raise NotFound("There is no such session.") from None
