"""The calling side: one connection per address, shared by all calls of the process."""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from actors.streams.codec import MAX_STREAM, BadFrame, Kind, pack
from actors.streams.handshake import client_proof, fields, is_same, new_nonce, server_proof
from actors.streams.limits import Limits
from actors.streams.link import Link, LinkClosed
from domain.errors import AppError, TooLarge, Unavailable, error_of

_LOST = "The connection to a service was lost; try again."
_UNREACHABLE = "A service could not be reached; try again."


class StreamPool:
    """Calls methods of StreamServers; connections are made on first use and made anew after a loss."""

    def __init__(self, secret: str, *, limits: Limits | None = None) -> None:
        if not secret:
            raise ValueError("streams need a secret")
        self._secret = secret.encode()
        self._limits = limits or Limits()
        self._links: dict[str, asyncio.Task[_ClientLink]] = {}
        self._closed = False

    async def stream(self, address: str, method: str, payload: Any) -> AsyncGenerator[Any, None]:
        """Items as the remote generator yields them; leaving the generator in any way cancels the remote one.

        `address` is `host:port`; payload and items are plain data. Nothing is sent before the first item is
        asked for. Raises the remote AppError, Unavailable when the service cannot be reached, the connection
        is lost or this consumer falls behind, TooLarge for the payload, TypeError when it is not plain data.
        """
        body = pack([method, payload])
        if len(body) > self._limits.frame:
            raise TooLarge("The request to a service is too large.")
        link = await self._link(address)
        try:
            await link.ready()
        except LinkClosed:
            raise Unavailable(_LOST) from None
        channel = link.open(body)
        try:
            while True:
                while channel.items:
                    yield channel.items.popleft()
                if channel.ended:
                    break
                await channel.more()
            if channel.error is not None:
                raise channel.error
        finally:
            link.release(channel)

    async def call(self, address: str, method: str, payload: Any) -> Any:
        """The only item of a stream, once the remote generator has ended. Raises as `stream` does."""
        answers = []
        async with aclosing(self.stream(address, method, payload)) as items:
            async for item in items:
                answers.append(item)
                if len(answers) > 1:
                    raise TypeError(f"{method} is a stream: it sent more than one item")
        if not answers:
            raise Unavailable("A service gave no answer; try again.")
        return answers[0]

    async def close(self) -> None:
        """Close every connection; streams that still run end with Unavailable."""
        self._closed = True
        links = []
        for task in list(self._links.values()):
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None:
                links.append(task.result())
        if self._links:
            await asyncio.wait(list(self._links.values()))
        self._links.clear()
        for link in links:
            link.close()
        if links:
            _, open_links = await asyncio.wait([link.lost for link in links], timeout=self._limits.close_within)
            if open_links:
                for link in links:
                    link.abort("the pool closes")

    async def _link(self, address: str) -> "_ClientLink":
        if self._closed:
            raise Unavailable("The process is stopping; try again.")
        task = self._links.get(address)
        if task is not None and task.done() and (task.cancelled() or task.exception() or task.result().closed):
            task = None
        if task is None:
            # The connection outlives the request that happens to make it, so it gets neither its task nor its context.
            task = asyncio.get_running_loop().create_task(self._connect(address), context=contextvars.Context())
            task.add_done_callback(_retrieve)
            self._links[address] = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self._closed:
                raise Unavailable("The process is stopping; try again.") from None
            raise
        except AppError as error:
            # Callers share the attempt, and must not share the traceback that grows on an error.
            raise type(error)(error.message) from None

    async def _connect(self, address: str) -> "_ClientLink":
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(self._limits.connect_within):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: _ClientLink(self._secret, self._limits), host.strip("[]"), int(port)
                )
        except (OSError, TimeoutError, ValueError, OverflowError):
            raise Unavailable(_UNREACHABLE) from None
        try:
            await link.greeted
        except asyncio.CancelledError:
            link.abort("the pool closes")
            raise
        return link


def _retrieve(future: asyncio.Future[Any]) -> None:
    # All callers may have been cancelled: the failure is theirs to see, not the loop's to complain about.
    if not future.cancelled():
        future.exception()


class _Channel:
    """What has arrived for one consumer."""

    __slots__ = ("_waiter", "ended", "error", "items", "stream")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.items: deque[Any] = deque()
        self.ended = False
        self.error: AppError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def add(self, items: list[Any]) -> None:
        self.items.extend(items)
        self._wake()

    def end(self, error: AppError | None) -> None:
        self.ended = True
        self.error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _ClientLink(Link):
    def __init__(self, secret: bytes, limits: Limits) -> None:
        super().__init__(secret, limits)
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.greeted.add_done_callback(_retrieve)
        self._proof: bytes | None = None
        self._channels: dict[int, _Channel] = {}
        self._last = 0

    def open(self, body: bytes) -> _Channel:
        """Start a stream with the body of an OPEN frame."""
        while True:
            self._last = self._last % MAX_STREAM + 1
            if self._last not in self._channels:
                break
        channel = self._channels[self._last] = _Channel(self._last)
        self.send(Kind.OPEN, channel.stream, body)
        return channel

    def release(self, channel: _Channel) -> None:
        """The consumer has left: cancel the stream unless it has ended."""
        if not channel.ended and self._channels.pop(channel.stream, None) is not None:
            self.send(Kind.CANCEL, channel.stream)

    def greet(self) -> None:
        """The server begins."""

    def received(self, kind: int, stream: int, body: Any) -> int:
        if not self.greeted.done():
            self._greet_back(kind, body)
        elif kind == Kind.ITEMS:
            return self._items(stream, body)
        elif kind == Kind.END:
            self._end(stream, None)
        elif kind == Kind.ERROR:
            self._end(stream, _error(body))
        elif kind != Kind.PING:
            raise BadFrame(f"frame kind {kind} from a server")
        return 1

    def _greet_back(self, kind: int, body: Any) -> None:
        if kind != Kind.HELLO:
            raise BadFrame("a frame before the hello")
        if self._proof is None:
            (theirs,) = fields(body, 1)
            ours = new_nonce()
            self._proof = server_proof(self._secret, theirs, ours)
            self.send(Kind.HELLO, 0, pack([ours, client_proof(self._secret, theirs, ours)]))
            return
        (proof,) = fields(body, 1)
        if not is_same(proof, self._proof):
            raise BadFrame("a wrong secret")
        self.trust()
        self.greeted.set_result(None)

    def _items(self, stream: int, items: Any) -> int:
        if not isinstance(items, list):
            raise BadFrame("malformed items")
        channel = self._channels.get(stream)
        if channel is None:  # cancelled, and the server did not know yet
            return len(items)
        room = self.limits.queue_items - len(channel.items)
        channel.add(items[:room])
        if room < len(items):
            self.send(Kind.CANCEL, stream)
            self._end(stream, Unavailable("The reader of this stream fell behind."))
        return len(items)

    def _end(self, stream: int, error: AppError | None) -> None:
        if channel := self._channels.pop(stream, None):
            channel.end(error)

    def dropped(self) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(Unavailable("A service refused the connection; try again."))
        for stream in list(self._channels):
            self._end(stream, Unavailable(_LOST))


def _error(body: Any) -> AppError:
    match body:
        case [str(code), str(message), None | float() | int() as retry_after]:
            return error_of(code, message, retry_after)
    raise BadFrame("a malformed error")
