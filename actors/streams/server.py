"""The serving side: runs the generator of each stream and sends what it yields."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import structlog

from actors.streams.codec import BadFrame, Kind, pack
from actors.streams.handshake import client_proof, fields, is_same, new_nonce, server_proof
from actors.streams.limits import Limits
from actors.streams.link import Link, LinkClosed
from domain.errors import AppError, NotFound, RateLimited, Unavailable

log = structlog.get_logger(__name__)

Method = Callable[[Any], AsyncIterator[Any]]


class StreamServer:
    """Serves named methods, async generators over plain data, to peers that know the secret."""

    def __init__(self, methods: Mapping[str, Method], secret: bytes, limits: Limits) -> None:
        self.port = 0
        self._methods = dict(methods)
        self._secret = secret
        self._limits = limits
        self._links: set[_ServerLink] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(
        cls,
        methods: Mapping[str, Method],
        *,
        secret: str,
        host: str = "0.0.0.0",  # noqa: S104 - other machines of the cluster connect, and must prove the secret
        port: int = 0,
        limits: Limits | None = None,
    ) -> Self:
        """Listen; port 0 takes a free one, see `.port`. Raises OSError, and ValueError for an empty secret."""
        if not secret:
            raise ValueError("streams need a secret")
        self = cls(methods, secret.encode(), limits or Limits())
        # Transports keep the context they were made in: not that of whoever opened the server.
        make = asyncio.get_running_loop().create_task(self._listen(host, port), context=contextvars.Context())
        self._server = await make
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._link, host, port, backlog=512)

    def _link(self) -> "_ServerLink":
        return _ServerLink(self._methods, self._secret, self._limits, self._links)

    async def close(self) -> None:
        """Stop listening; running streams end with Unavailable, and their generators are closed first."""
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        tasks = [task for link in links for task in link.cancel_all()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.close_within)
        for link in links:
            link.close()
        if links:
            _, open_links = await asyncio.wait([link.lost for link in links], timeout=self._limits.close_within)
            if open_links:
                for link in links:
                    link.abort("the server closes")


class _ServerLink(Link):
    def __init__(self, methods: Mapping[str, Method], secret: bytes, limits: Limits, links: "set[_ServerLink]") -> None:
        super().__init__(secret, limits)
        self._methods = methods
        self._links = links
        self._nonce = new_nonce()
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def greet(self) -> None:
        self._links.add(self)
        if sum(not link.trusted for link in self._links) > self.limits.greeting_peers:
            self.abort("too many unproven peers")
            return
        self.send(Kind.HELLO, 0, pack([self._nonce]))

    def received(self, kind: int, stream: int, body: Any) -> int:
        if not self.trusted:
            self._prove(kind, body)
        elif kind == Kind.OPEN:
            self._open(stream, body)
        elif kind == Kind.CANCEL:
            if task := self._streams.pop(stream, None):
                task.cancel()
        elif kind != Kind.PING:
            raise BadFrame(f"frame kind {kind} from a client")
        return 1

    def _prove(self, kind: int, body: Any) -> None:
        if kind != Kind.HELLO:
            raise BadFrame("a frame before the hello")
        nonce, proof = fields(body, 2)
        if not is_same(proof, client_proof(self._secret, self._nonce, nonce)):
            raise BadFrame("a wrong secret")
        self.trust()
        self.send(Kind.HELLO, 0, pack([server_proof(self._secret, self._nonce, nonce)]))

    def _open(self, stream: int, body: Any) -> None:
        if not isinstance(body, list) or len(body) != 2 or not isinstance(body[0], str):
            raise BadFrame("a malformed open")
        if stream in self._streams:
            raise BadFrame("a stream that is open already")
        method = self._methods.get(body[0])
        if method is None:
            self._fail(stream, NotFound("The service has no such method."))
        elif len(self._tasks) >= self.limits.streams:
            self._fail(stream, RateLimited("Too many streams run at once.", retry_after=1.0))
        else:
            task = self._loop.create_task(self._serve(stream, body[0], method, body[1]), context=contextvars.Context())
            self._streams[stream] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: int, name: str, method: Method, payload: Any) -> None:
        source: AsyncIterator[Any] | None = None
        failure: AppError | None = Unavailable("The service stopped; try again.")
        try:
            source = method(payload)
            async for item in source:
                packed = pack(item)
                await self.ready()
                self.send_item(stream, packed)
            failure = None
        except AppError as error:
            failure = error
        except LinkClosed:
            pass
        except Exception:
            log.exception("stream_failed", method=name)
            failure = AppError()
        finally:
            if source is not None:
                await _close(source, name)
            # A cancelled stream is no longer listed, and its id may belong to another by now.
            if self._streams.get(stream) is asyncio.current_task():
                del self._streams[stream]
                if failure is None:
                    self.send(Kind.END, stream)
                else:
                    self._fail(stream, failure)

    def _fail(self, stream: int, error: AppError) -> None:
        self.send(Kind.ERROR, stream, pack([error.code, error.message, error.retry_after]))

    def cancel_all(self) -> list[asyncio.Task[None]]:
        """Cancel what runs and return the tasks, those that are ending already included."""
        for task in self._streams.values():
            task.cancel()
        return list(self._tasks)

    def dropped(self) -> None:
        self._links.discard(self)
        streams, self._streams = self._streams, {}
        for task in streams.values():
            task.cancel()


async def _close(source: AsyncIterator[Any], name: str) -> None:
    close = getattr(source, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception:
        log.exception("stream_clean_up_failed", method=name)
