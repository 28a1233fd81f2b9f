"""The turns that one socket follows: their events go to its queue, each once, and outlive nothing but the socket."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog

from deployments.gateway.frames import error_frame
from deployments.gateway.send_queue import SendQueue, SlowReader
from deployments.gateway.services import Event, GatewayServices
from deployments.gateway.unattended import unattended
from domain.conversation import Question
from domain.errors import AppError, RateLimited, TurnNotRunning
from domain.ids import MessageId, SessionId, TenantId, TurnId
from domain.wire import Resume
from storage.postgres.database import tenant_tx
from storage.postgres.messages import Messages

log = structlog.get_logger()

MAX_STREAMS = 4
MAX_COMMANDS = 8
ACK_SECONDS = 15.0
"""How long a question that was sent just before the client left may take to be stored."""


class SocketTurns:
    """No method waits for anything but `wait_idle` and `close`: the socket's reader goes on reading."""

    __slots__ = (
        "_commands",
        "_end_erased",
        "_ended",
        "_give_up",
        "_noticed",
        "_queue",
        "_request_id",
        "_seen",
        "_services",
        "_session_id",
        "_streams",
        "_tenant_id",
    )

    def __init__(
        self,
        services: GatewayServices,
        tenant_id: TenantId,
        session_id: SessionId,
        queue: SendQueue,
        request_id: str,
        give_up: Callable[[], None],
        end_erased: Callable[[], None],
    ) -> None:
        """`give_up` is called when the client reads too slowly to be served, `end_erased` when the session is gone."""
        self._services = services
        self._tenant_id = tenant_id
        self._session_id = session_id
        self._queue = queue
        self._request_id = request_id
        self._give_up = give_up
        self._end_erased = end_erased
        self._streams: dict[asyncio.Task[None], asyncio.Event] = {}
        self._commands = 0
        self._seen: dict[str, int] = {}
        self._ended: frozenset[str] = frozenset()
        """Turns of `_seen` that this socket has had to their end."""
        self._noticed: str | None = None

    def enter(self, limit: int) -> None:
        """Take one of the tenant's places and hear of turns from now on, until `close`. Raises QuotaExceeded."""
        self._services.census.enter_tenant(self._tenant_id, limit)
        self._services.tabs.add(self._tenant_id, self._session_id, self)

    async def wait_idle(self) -> None:
        while self._streams:
            await asyncio.wait(set(self._streams))

    def submit(self, question: Question) -> None:
        """Ask, and send what comes back. Raises RateLimited when too many answers are followed already."""
        if len(self._streams) >= MAX_STREAMS:
            raise RateLimited("Too many questions at once; wait for the answer.", retry_after=1)
        events = self._services.conversations.submit(self._tenant_id, self._session_id, question, self._request_id)
        self._start(events, asyncio.Event(), message_id=question.client_id)

    def resume(self, resume: Resume) -> None:
        """Send the events of a turn after those the client has."""
        self._follow(str(resume.turn_id), resume.seq, resume.epoch)

    def notice(self, turn_id: str) -> None:
        """Follow a turn that another tab began; a turn of this socket's own comes by itself."""
        if turn_id in self._seen:
            return
        if any(not acknowledged.is_set() for acknowledged in self._streams.values()):
            # Most likely the turn of the question that is on its way; its acknowledgement tells.
            self._noticed = turn_id
        elif len(self._streams) < MAX_STREAMS:
            self._follow(turn_id, 0, None)

    def erased(self) -> None:
        """The session does not exist any more."""
        self._end_erased()

    def stop(self, turn_id: UUID | None) -> None:
        """End the running turn, or `turn_id` only. Raises RateLimited; what else is wrong becomes an error frame."""
        self._command(self._stop(turn_id), str(turn_id) if turn_id else None)

    def delivered(self, message_id: UUID) -> None:
        """Note that the client has shown an answer and those before it. Raises RateLimited."""
        self._command(self._delivered(message_id), None)

    async def close(self) -> None:
        """Follow no more. The turns go on; a question on its way to the store gets there first."""
        self._services.tabs.remove(self._tenant_id, self._session_id, self)
        self._services.census.leave_tenant(self._tenant_id)
        self._noticed = None
        stopping = []
        for task, acknowledged in list(self._streams.items()):
            if acknowledged.is_set():
                task.cancel()
                stopping.append(task)
            else:
                unattended(_cancel_once_stored(task, acknowledged))
        if stopping:
            await asyncio.wait(stopping)

    def _command(self, work: Coroutine[Any, Any, None], turn_id: str | None) -> None:
        if self._commands >= MAX_COMMANDS:
            work.close()
            raise RateLimited("Too many requests at once; wait for the answers.", retry_after=1)
        self._commands += 1
        unattended(self._obey(work, turn_id))

    async def _obey(self, work: Coroutine[Any, Any, None], turn_id: str | None) -> None:
        try:
            await work
        except AppError as error:
            await self._report(error, None, turn_id)
        except Exception:
            log.exception("socket.command_failed", turn_id=turn_id)
            await self._report(AppError(), None, turn_id)
        finally:
            self._commands -= 1

    async def _stop(self, turn_id: UUID | None) -> None:
        conversations = self._services.conversations
        if not await conversations.stop(self._tenant_id, self._session_id, TurnId(turn_id) if turn_id else None):
            raise TurnNotRunning

    async def _delivered(self, message_id: UUID) -> None:
        async with tenant_tx(self._services.db, self._tenant_id) as tx:
            await Messages(tx).mark_delivered(self._tenant_id, self._session_id, MessageId(message_id))

    def _follow(self, turn_id: str, seq: int, epoch: int | None) -> None:
        self._seen[turn_id] = seq
        events = self._services.conversations.follow(
            self._tenant_id, self._session_id, TurnId(UUID(turn_id)), seq, epoch
        )
        acknowledged = asyncio.Event()
        acknowledged.set()
        self._start(events, acknowledged, turn_id=turn_id)

    def _start(self, events: AsyncGenerator[Event, None], acknowledged: asyncio.Event, **about: str) -> None:
        task = asyncio.get_running_loop().create_task(self._pump(events, acknowledged, **about))
        self._streams[task] = acknowledged
        task.add_done_callback(lambda ended: self._streams.pop(ended, None))

    async def _pump(
        self,
        events: AsyncGenerator[Event, None],
        acknowledged: asyncio.Event,
        *,
        message_id: str | None = None,
        turn_id: str | None = None,
    ) -> None:
        try:
            async for event in events:
                turn_id = event["turn"]
                if event["k"] == "ack":
                    self._acknowledge(event["turn"])
                    acknowledged.set()
                    self._recall()
                    await self._queue.put(event)
                    continue
                # A question sent again streams its first turn from the start; the client has part of it. A gap
                # stands for events that the client has wrongly.
                if event["seq"] <= self._seen.get(event["turn"], 0) and event["k"] != "gap":
                    continue
                self._seen[event["turn"]] = event["seq"]
                await self._queue.put(event)
                if event["k"] in ("done", "error"):
                    self._services.metrics.turns.labels(event.get("state", "failed")).inc()
                    self._ended |= {event["turn"]}
                    self._forget(event["turn"])
                    return
        except AppError as error:
            await self._report(error, message_id, turn_id)
        except SlowReader:
            self._give_up()
        except Exception:
            log.exception("socket.turn_failed", turn_id=turn_id)
            await self._report(AppError(), message_id, turn_id)
        finally:
            acknowledged.set()
            self._recall()
            with suppress(AppError):
                await events.aclose()

    def _acknowledge(self, turn_id: str) -> None:
        if turn_id in self._ended:
            # Asked again after its end: the whole turn comes again.
            self._ended -= {turn_id}
            self._seen.pop(turn_id, None)
        self._seen.setdefault(turn_id, 0)

    def _recall(self) -> None:
        """Decide about the turn that was noticed while a question was on its way."""
        turn_id, self._noticed = self._noticed, None
        if turn_id is not None:
            self.notice(turn_id)

    async def _report(self, error: AppError, message_id: str | None, turn_id: str | None) -> None:
        frame = error_frame(error, self._request_id, message_id=None if turn_id else message_id, turn_id=turn_id)
        try:
            await self._queue.put(frame)
        except SlowReader:
            self._give_up()

    def _forget(self, turn_id: str) -> None:
        """Keep the marks of the latest turns only."""
        while len(self._seen) > MAX_STREAMS * 4:
            oldest = next(iter(self._seen))
            if oldest == turn_id:
                return
            del self._seen[oldest]
            self._ended -= {oldest}


async def _cancel_once_stored(task: asyncio.Task[None], acknowledged: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(ACK_SECONDS):
            await acknowledged.wait()
    task.cancel()
    await asyncio.wait((task,))
