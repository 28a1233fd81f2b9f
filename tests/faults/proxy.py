"""A TCP proxy before PostgreSQL that can hold the commit of a question, or the server's answer to that commit."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

ACCEPTS = b"insert into turns"
STARTUP = 196608
"""The protocol's version 3.0 in a StartupMessage; what comes before it are requests for encryption."""
SYNC = b"S\0\0\0\x04"
Moment = Literal["before_commit", "after_commit"]


@dataclass
class Hold:
    """Set for the next transaction that stores a question."""

    moment: Moment
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    client_port: int = 0
    """Of the connection that is held: who has it, is the session host."""


class PostgresProxy:
    """Listens on `port` once it is open, and connects to the server on 127.0.0.1:`target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._hold: Hold | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["PostgresProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)

    @contextlib.contextmanager
    def holding(self, moment: Moment) -> Iterator[Hold]:
        """Hold the next question at `moment`; at the end what is held is dropped with its connection."""
        self._hold = hold = Hold(moment)
        try:
            yield hold
        finally:
            self._hold = None
            hold.released.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)
        try:
            with contextlib.suppress(OSError):
                server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
                try:
                    await _Session(self._take, reader, writer, server_reader, server_writer).run()
                finally:
                    server_writer.close()
        finally:
            writer.close()

    def _take(self) -> Hold | None:
        """The hold, once: one transaction is held, others pass."""
        hold, self._hold = self._hold, None
        return hold


class _Session:
    """One connection, its two directions; the client's messages are read, the server's bytes are passed on."""

    def __init__(
        self,
        take: Callable[[], Hold | None],
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._take = take
        self._client_reader, self._client_writer = client_reader, client_writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._answers = asyncio.Event()
        self._answers.set()
        self._answered = asyncio.Event()
        """The server has answered what is held back."""
        self._accepting: set[bytes] = set()
        """Names of the prepared statements that store a question."""
        self._stores = False

    async def run(self) -> None:
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        """Until the client leaves, or a hold ends: its session host is dead by then."""
        started = False
        while True:
            kind = await self._client_reader.readexactly(1) if started else b""
            head = await self._client_reader.readexactly(4)
            (length,) = struct.unpack("!I", head)
            body = await self._client_reader.readexactly(length - 4)
            if not started:
                started = body[:4] == struct.pack("!I", STARTUP)
            hold = self._take() if self._commits_a_question(kind, body) else None
            if hold is None:
                await self._pass_on(kind + head + body)
                continue
            hold.client_port = self._client_writer.get_extra_info("peername")[1]
            if hold.moment == "after_commit":
                self._answers.clear()
                await self._pass_on(kind + head + body)
                if kind == b"P":
                    # In a pipeline the server answers at the end of it.
                    await self._pass_on(await self._client_reader.readuntil(SYNC))
                await self._answered.wait()
            hold.reached.set()
            await hold.released.wait()
            return

    async def _pass_on(self, data: bytes) -> None:
        self._server_writer.write(data)
        await self._server_writer.drain()

    async def _replies(self) -> None:
        while data := await self._server_reader.read(65536):
            if not self._answers.is_set():
                self._answered.set()
                await self._answers.wait()
            self._client_writer.write(data)
            await self._client_writer.drain()

    def _commits_a_question(self, kind: bytes, body: bytes) -> bool:
        """Follow the transaction: Parse, Bind or Query of the accepting statement, then COMMIT."""
        text = b""
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            text = rest.partition(b"\0")[0].lower()
            self._accepting.discard(name)
            if ACCEPTS in text:
                self._accepting.add(name)
        elif kind == b"B":
            self._stores |= body.split(b"\0", 2)[1] in self._accepting
        elif kind == b"Q":
            text = body.lower()
            self._stores |= ACCEPTS in text
        if not text.startswith((b"commit", b"rollback")):
            return False
        stores, self._stores = self._stores, False
        return stores and text.startswith(b"commit")
