"""A TCP proxy before PostgreSQL that can hold a connection at a chosen point of a chosen transaction."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

STARTUP = 196608
"""The protocol's version 3.0 in a StartupMessage; what comes before it are requests for encryption."""
SYNC = b"S\0\0\0\x04"
NO_ROWS = b"SELECT 0\0"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of the next transaction that runs `statement` (a part of its text, in lower case).

    `statement`: it has not reached the server; `rows`: it found some, and the client has not got them; `commit`: the
    COMMIT has not reached the server; `committed`: it has, and the client does not know.
    """

    statement: bytes
    at: Literal["statement", "rows", "commit", "committed"]


@dataclass
class Hold:
    moment: Moment
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    client_port: int = 0
    """Of the connection that is held: it tells the process."""


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
        """Hold the next transaction that comes to `moment`; at the end what is held is dropped with its connection."""
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
                    await _Session(self._wanted, reader, writer, server_reader, server_writer).run()
                finally:
                    server_writer.close()
        finally:
            writer.close()

    def _wanted(self, taken: bool) -> Hold | None:
        """What is to be held; once it is `taken`, others pass."""
        hold = self._hold
        if taken:
            self._hold = None
        return hold


class _Session:
    """One connection, its two directions; the client's messages are read, the server's bytes are passed on."""

    def __init__(
        self,
        wanted: Callable[[bool], Hold | None],
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._wanted = wanted
        self._client_reader, self._client_writer = client_reader, client_writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._answer: asyncio.Future[bytes] | None = None
        """Gets the server's next bytes before the client does."""
        self._go_on = asyncio.Event()
        self._statements: dict[bytes, bytes] = {}
        """Texts of the prepared statements by name, in lower case."""
        self._ran: set[bytes] = set()
        """Texts of the transaction so far."""

    async def run(self) -> None:
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        """Until the client leaves, or a hold ends: its process is dead by then."""
        started = False
        while True:
            kind = await self._client_reader.readexactly(1) if started else b""
            head = await self._client_reader.readexactly(4)
            (length,) = struct.unpack("!I", head)
            body = await self._client_reader.readexactly(length - 4)
            if not started:
                started = body[:4] == struct.pack("!I", STARTUP)
            if await self._comes_to_hold(kind, kind + head + body, self._text_of(kind, body)):
                return

    async def _comes_to_hold(self, kind: bytes, message: bytes, text: bytes) -> bool:
        """Pass the message on, or hold here for good."""
        hold = self._wanted(False)
        if text.startswith((b"commit", b"rollback")):
            ran, self._ran = self._ran if text.startswith(b"commit") else set(), set()
            places = ("commit", "committed")
        else:
            self._ran.add(text)
            ran, places = {text}, ("statement", "rows")
        if hold is None or hold.moment.at not in places or not any(hold.moment.statement in one for one in ran):
            await self._pass_on(message)
            return False
        if hold.moment.at in ("statement", "commit"):
            self._wanted(True)
        elif not await self._await_answer(kind, message, hold):
            return False
        hold.client_port = self._client_writer.get_extra_info("peername")[1]
        hold.reached.set()
        await hold.released.wait()
        return True

    async def _await_answer(self, kind: bytes, message: bytes, hold: Hold) -> bool:
        """Pass the message on and keep its answer; False when the answer is not the one, and the client gets it."""
        if hold.moment.at == "committed":
            self._wanted(True)
        self._answer = answer = asyncio.get_running_loop().create_future()
        await self._pass_on(message)
        if kind != b"Q":
            # The server answers at the end of the pipeline.
            await self._pass_on(await self._client_reader.readuntil(SYNC))
        found = NO_ROWS not in await answer
        if hold.moment.at == "rows" and (not found or self._wanted(True) is None):
            self._go_on.set()
            return False
        return True

    async def _pass_on(self, data: bytes) -> None:
        self._server_writer.write(data)
        await self._server_writer.drain()

    async def _replies(self) -> None:
        while data := await self._server_reader.read(65536):
            if self._answer is not None:
                answer, self._answer = self._answer, None
                self._go_on.clear()
                answer.set_result(data)
                await self._go_on.wait()
            self._client_writer.write(data)
            await self._client_writer.drain()

    def _text_of(self, kind: bytes, body: bytes) -> bytes:
        """The statement that a Query or Bind runs, in lower case; what a Parse names is remembered for its Bind."""
        if kind == b"Q":
            return body.rstrip(b"\0").lower()
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            self._statements[name] = rest.partition(b"\0")[0].lower()
        elif kind == b"B":
            return self._statements.get(body.split(b"\0", 2)[1], b"")
        return b""
