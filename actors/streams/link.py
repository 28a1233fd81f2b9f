"""One end of a connection: coalesced writes, bounded buffers, heartbeats, and the deadline of the hello."""

import asyncio
import contextvars
from abc import ABC, abstractmethod
from typing import Any, cast

import structlog

from actors.streams.codec import BadFrame, Batch, Decoder, Kind, frame
from actors.streams.limits import Limits
from domain.errors import TooLarge

log = structlog.get_logger(__name__)

_READ_ITEMS = 1_024
"""Items handed out before consumers get a pass of the event loop: less than a consumer's queue holds."""


class LinkClosed(Exception):
    """The connection is gone."""


class Link(asyncio.Protocol, ABC):
    """Base of both sides; a subclass says what a frame means and what the end of the connection does."""

    def __init__(self, secret: bytes, limits: Limits) -> None:
        self.limits = limits
        self.closed = False
        self.trusted = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._secret = secret
        self._loop = asyncio.get_running_loop()
        # Callbacks must not carry the context of whichever request happened to start them.
        self._context = contextvars.Context()
        self._decoder = Decoder(limits.hello_frame)
        self._held = False
        self._chunks: list[bytes] = []
        self._batches: dict[int, Batch] = {}
        self._unsent = 0
        self._scheduled = False
        self._paused = False
        self._waiters: list[asyncio.Future[None]] = []
        self._hello: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._seen = 0.0

    @abstractmethod
    def greet(self) -> None:
        """The connection is made: begin the hello, if it is this side's turn."""

    @abstractmethod
    def received(self, kind: int, stream: int, body: Any) -> int:
        """Take a frame and return how many items it carried. Raises BadFrame."""

    @abstractmethod
    def dropped(self) -> None:
        """The connection is gone: end everything that ran on it."""

    # Writing: everything sent in one pass of the event loop leaves in one write.

    async def ready(self) -> None:
        """Wait until there is room to send. Raises LinkClosed."""
        while not self.closed and (self._paused or self._unsent > self.limits.write_high):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self.closed:
            raise LinkClosed

    def send(self, kind: Kind, stream: int, body: bytes = b"") -> None:
        """Queue a control frame, after the items of its stream; nothing happens on a closed link."""
        if self.closed:
            return
        if batch := self._batches.pop(stream, None):
            self._chunks.append(batch.frame(stream))
        self._queue(frame(kind, stream, body), len(body))

    def send_item(self, stream: int, item: bytes) -> None:
        """Queue a packed item. Raises TooLarge when no frame can hold it."""
        if self.closed:
            return
        batch = self._batches.get(stream)
        if batch is None or not batch.fits(item, self.limits.frame):
            if batch is not None:
                self._chunks.append(batch.frame(stream))
            batch = Batch()
            if not batch.fits(item, self.limits.frame):
                self._batches.pop(stream, None)
                self._queue(b"", 0)
                raise TooLarge("An item is too large to be sent.")
            self._batches[stream] = batch
        batch.add(item)
        self._queue(b"", len(item))

    def _queue(self, chunk: bytes, size: int) -> None:
        if chunk:
            self._chunks.append(chunk)
        self._unsent += size
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush, context=self._context)

    def flush(self) -> None:
        """Write all that waits, in one write."""
        self._scheduled = False
        if self.closed:
            return
        self._chunks.extend(batch.frame(stream) for stream, batch in self._batches.items())
        self._batches.clear()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._unsent = 0
        if data:
            self._transport.write(data)
        if self._transport.get_write_buffer_size() > self.limits.write_max:
            self.abort("the peer does not read")
        elif not self._paused:
            self._wake()

    def pause_writing(self) -> None:
        self._paused = True
        self._stuck = self._loop.call_later(
            self.limits.stuck_after, self.abort, "the peer does not read", context=self._context
        )

    def resume_writing(self) -> None:
        self._paused = False
        if self._stuck is not None:
            self._stuck.cancel()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Reading

    def data_received(self, data: bytes) -> None:
        self._seen = self._loop.time()
        self._decoder.feed(data)
        if not self._held:
            self._read()

    def _read(self) -> None:
        items = 0
        try:
            while items < _READ_ITEMS:
                if self.closed:
                    return
                found = self._decoder.next()
                if found is None:
                    if self._held:
                        self._held = False
                        self._transport.resume_reading()
                    return
                items += self.received(*found)
        except BadFrame as error:
            self.abort(str(error))
            return
        if self.closed:
            return
        # Consumers were woken by now: they run first, so only one that is really behind overflows its queue.
        if not self._held:
            self._held = True
            self._transport.pause_reading()
        self._loop.call_soon(self._read, context=self._context)

    # Life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self.limits.write_high)
        self._hello = self._loop.call_later(
            self.limits.hello_within, self.abort, "no hello in time", context=self._context
        )
        self.greet()

    def trust(self) -> None:
        """The peer has proved itself: full frames and heartbeats from here on."""
        self.trusted = True
        if self._hello is not None:
            self._hello.cancel()
        self._decoder.limit = self.limits.frame
        self._seen = self._loop.time()
        self._next_beat()

    def _next_beat(self) -> None:
        due = self._loop.time() + self.limits.heartbeat_every
        self._beat = self._loop.call_at(due, self._heartbeat, due, context=self._context)

    def _heartbeat(self, due: float) -> None:
        now = self._loop.time()
        if now - due > self.limits.heartbeat_every:
            # This process slept; what the peer sent meanwhile is still unread.
            self._seen = now
        if now - self._seen > self.limits.dead_after:
            self.abort("the peer is silent")
            return
        self.send(Kind.PING, 0)
        self._next_beat()

    def close(self) -> None:
        """Send what waits, then close."""
        if not self.closed:
            self.flush()
            self.closed = True
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once, without sending what waits."""
        if not self.closed:
            self.closed = True
            log.warning("stream_connection_dropped", reason=reason, peer=self._transport.get_extra_info("peername"))
        # A link that closes gently waits for its peer; here it no longer does.
        self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = True
        for timer in (self._hello, self._beat, self._stuck):
            if timer is not None:
                timer.cancel()
        self._chunks.clear()
        self._batches.clear()
        self._wake()
        self.dropped()
        if not self.lost.done():
            self.lost.set_result(None)
