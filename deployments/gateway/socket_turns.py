"""The turns that one socket follows: their events go to its queue, each once, and outlive nothing but the socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

import structlog

from deployments.gateway.frames import error_frame
from deployments.gateway.send_queue import SendQueue, SlowReader
from deployments.gateway.services import Event, GatewayServices
from domain.errors import AppError, RateLimited
from domain.ids import SessionId, TenantId, TurnId
from domain.wire import MessageFrame, Resume

log = structlog.get_logger()

MAX_STREAMS = 4
ACK_SECONDS = 15.0
"""How long a question that was sent just before the client left may take to be stored."""
_finishing: set[asyncio.Task[None]] = set()


class SocketTurns:
    def __init__(
        self,
        services: GatewayServices,
        tenant_id: TenantId,
        session_id: SessionId,
        queue: SendQueue,
        request_id: str,
        failed: asyncio.Future[NoReturn],
    ) -> None:
        self._services = services
        self._tenant_id = tenant_id
        self._session_id = session_id
        self._queue = queue
        self._request_id = request_id
        self._failed = failed
        self._streams: dict[asyncio.Task[None], asyncio.Event] = {}
        self._seen: dict[str, int] = {}
        self._ended: set[str] = set()
        """Turns of `_seen` that this socket has had to their end."""

    @property
    def busy(self) -> bool:
        return bool(self._streams)

    async def wait_idle(self) -> None:
        while self._streams:
            await asyncio.wait(set(self._streams))

    def submit(self, frame: MessageFrame) -> None:
        """Ask, and send what comes back. Raises RateLimited when too many answers are followed already."""
        if len(self._streams) >= MAX_STREAMS:
            raise RateLimited("Too many questions at once; wait for the answer.", retry_after=1)
        events = self._services.conversations.submit(
            self._tenant_id, self._session_id, str(frame.id), frame.text, self._request_id
        )
        self._start(events, asyncio.Event(), message_id=str(frame.id))

    def resume(self, resume: Resume) -> None:
        """Send the events of a turn after those the client has."""
        self._seen[str(resume.turn_id)] = resume.seq
        events = self._services.conversations.follow(
            self._tenant_id, self._session_id, TurnId(resume.turn_id), resume.seq
        )
        acknowledged = asyncio.Event()
        acknowledged.set()
        self._start(events, acknowledged, turn_id=str(resume.turn_id))

    async def stop(self, turn_id: UUID | None) -> None:
        """Raises AppError."""
        await self._services.conversations.stop(self._tenant_id, self._session_id, TurnId(turn_id) if turn_id else None)

    async def close(self) -> None:
        """Follow no more. The turns go on; a question on its way to the store gets there first."""
        for task, acknowledged in list(self._streams.items()):
            if acknowledged.is_set():
                task.cancel()
            else:
                finishing = asyncio.create_task(_cancel_once_stored(task, acknowledged))
                _finishing.add(finishing)
                finishing.add_done_callback(_finishing.discard)
        stopping = [task for task, acknowledged in self._streams.items() if acknowledged.is_set()]
        if stopping:
            await asyncio.wait(stopping)

    def _start(self, events: AsyncGenerator[Event, None], acknowledged: asyncio.Event, **about: str) -> None:
        task = asyncio.create_task(self._pump(events, acknowledged, **about))
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
                acknowledged.set()
                turn_id = event["turn"]
                if event["k"] == "ack":
                    if event["turn"] in self._ended:
                        # Asked again after its end: the whole turn comes again.
                        self._ended.discard(event["turn"])
                        self._seen.pop(event["turn"], None)
                    await self._queue.put(event)
                    continue
                # A question sent again streams its first turn from the start; the client has part of it.
                if event["seq"] <= self._seen.get(event["turn"], 0):
                    continue
                self._seen[event["turn"]] = event["seq"]
                await self._queue.put(event)
                if event["k"] in ("done", "error"):
                    self._services.metrics.turns.labels(event.get("state", "failed")).inc()
                    self._ended.add(event["turn"])
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
            with suppress(AppError):
                await events.aclose()

    async def _report(self, error: AppError, message_id: str | None, turn_id: str | None) -> None:
        frame = error_frame(error, self._request_id, message_id=None if turn_id else message_id, turn_id=turn_id)
        try:
            await self._queue.put(frame)
        except SlowReader:
            self._give_up()

    def _give_up(self) -> None:
        if not self._failed.done():
            self._failed.set_exception(SlowReader())

    def _forget(self, turn_id: str) -> None:
        """Keep the marks of the latest turns only."""
        while len(self._seen) > MAX_STREAMS * 4:
            oldest = next(iter(self._seen))
            if oldest == turn_id:
                return
            del self._seen[oldest]
            self._ended.discard(oldest)


async def _cancel_once_stored(task: asyncio.Task[None], acknowledged: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(acknowledged.wait(), ACK_SECONDS)
    task.cancel()
    await asyncio.wait((task,))
