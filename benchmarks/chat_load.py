"""Chat clients for measurements: sockets that ask, what arrived when, and load that never pauses."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from benchmarks.light_socket import LightSocket, open_light
from benchmarks.population import Seat

WORD = "lorem"
"""The scripted engines say nothing else, a token a word: counting it counts tokens, however frames are cut."""
_WORD = WORD.encode()
_TOKEN = b'{"type":"token"'
OPENING_AT_ONCE = 32
ANSWER_SECONDS = 120.0


@dataclass
class Answer:
    """Times are seconds of a monotonic clock; `tokens[i]` is when token i arrived, alone or with others in a frame."""

    asked: float
    tokens: list[float] = field(default_factory=list)
    done: float = 0.0

    @property
    def first_token(self) -> float:
        """Seconds from the question to the first token."""
        return self.tokens[0] - self.asked

    def lateness(self, rate: float) -> list[float]:
        """How much later than its place in an even stream of `rate` tokens a second each token came, in seconds."""
        first = self.tokens[0]
        return [max(0.0, at - first - number / rate) for number, at in enumerate(self.tokens)]


class Refused(Exception):
    """The server answered with an `error` frame, or closed the socket."""

    def __init__(self, code: str, retry_after: float | None = None, message: str = "") -> None:
        self.code, self.retry_after = code, retry_after
        super().__init__(code, message)


class ChatClient:
    """One socket; one question at a time."""

    def __init__(self) -> None:
        self.received = 0
        """Tokens of all answers so far."""
        self.token_frames = 0
        """Frames that brought them."""
        self._answer: Answer | None = None
        self._socket: LightSocket | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.closed: int | None = None
        """The close code, once it is closed."""

    @classmethod
    async def open(cls, url: str, token: str | None = None) -> Self:
        """Connected; with `token` it has said `auth` and heard `ready`. Raises Refused, OSError."""
        client = cls()
        client._socket = await open_light(url, client._on_text, client._on_close)
        if token is not None:
            await client._exchange({"type": "auth", "token": token})
        return client

    async def ask(self) -> Answer:
        """A question to its end, asked for the first time, as its answer would be kept. Raises Refused."""
        self._answer = answer = Answer(time.perf_counter())
        await self._exchange({"type": "message", "id": str(uuid4()), "text": f"Tell the story of {_name()}."})
        answer.done = time.perf_counter()
        return answer

    @property
    def answering(self) -> bool:
        """Whether an answer has begun to arrive and has not ended."""
        return self._answer is not None and bool(self._answer.tokens) and not self._answer.done

    def stop(self) -> None:
        """Ask for the end of the running answer; an error when it has not begun."""
        assert self._socket is not None
        self._socket.send('{"type":"stop"}')

    async def close(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    async def _exchange(self, frame: dict[str, Any]) -> None:
        """Send a frame and wait for `ready` or `done`."""
        assert self._socket is not None
        if self.closed is not None:
            raise Refused(str(self.closed))
        self._waiting = asyncio.get_running_loop().create_future()
        self._socket.send(json.dumps(frame))
        await asyncio.wait_for(self._waiting, ANSWER_SECONDS)

    def _on_text(self, frame: bytes) -> None:
        if frame.startswith(_TOKEN):
            self.token_frames += 1
            self._count(frame.count(_WORD))
            return
        fields = json.loads(frame)
        kind = fields["type"]
        if kind in ("ready", "done"):
            self._check(fields)
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)
        elif kind == "error":
            self._fail(Refused(fields["code"], fields.get("retry_after"), fields["message"]))
        elif kind == "gap" and self._answer is not None:
            self._count(fields["text"].count(WORD) - len(self._answer.tokens))

    def _count(self, tokens: int) -> None:
        self.received += tokens
        if self._answer is not None:
            self._answer.tokens += [time.perf_counter()] * tokens

    def _check(self, done: dict[str, Any]) -> None:
        """What was counted is what was billed; a raw relay bills nothing, a stopped answer may be billed for more."""
        if done.get("state") == "completed" and self._answer is not None:
            counted, billed = len(self._answer.tokens), done["usage"]["completion_tokens"]
            if counted != billed:
                self._fail(Refused(f"{counted} tokens counted, {billed} billed"))

    def _on_close(self, code: int) -> None:
        self.closed = code
        self._fail(Refused(str(code)))

    def _fail(self, error: Refused) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


@asynccontextmanager
async def raw_clients(url: str, count: int) -> AsyncIterator[list[ChatClient]]:
    """Sockets to a raw relay, closed at the end, also in the middle of an answer."""
    clients = [await ChatClient.open(url) for _ in range(count)]
    try:
        yield clients
    finally:
        await close_all(clients)


@asynccontextmanager
async def seated(seats: Sequence[Seat]) -> AsyncIterator[list[ChatClient]]:
    """Authenticated sockets in these sessions, closed at the end."""
    clients = await open_all(seats)
    try:
        yield clients
    finally:
        await close_all(clients)


async def open_all(seats: Sequence[Seat]) -> list[ChatClient]:
    """Authenticated sockets in these sessions, a few being opened at a time."""
    room = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(seat: Seat) -> ChatClient:
        async with room:
            return await ChatClient.open(seat.url, seat.token)

    return list(await asyncio.gather(*map(open_one, seats)))


async def close_all(clients: Sequence[ChatClient]) -> None:
    await asyncio.gather(*(client.close() for client in clients))


def _name() -> str:
    """Letters that nobody has seen."""
    return uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))


async def ask_all(clients: Sequence[ChatClient]) -> list[Answer]:
    """Everybody asks at the same time; when all are answered."""
    return list(await asyncio.gather(*(client.ask() for client in clients)))


@asynccontextmanager
async def busy(clients: Sequence[ChatClient], *, stops: bool = True) -> AsyncIterator[None]:
    """Every client has a question under way all the time; begins when all have had a token.

    At the end the answers are stopped; a raw relay cannot `stop`, its sockets are to be closed.
    """
    over, before = False, [client.received for client in clients]

    async def keep_asking(client: ChatClient) -> None:
        while not over:
            await client.ask()

    jobs = [asyncio.create_task(keep_asking(client)) for client in clients]
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while sum(client.received > had for client, had in zip(clients, before, strict=True)) < len(clients):
                for job in jobs:
                    if job.done():
                        job.result()
                await asyncio.sleep(0.01)
        yield
        for job in jobs:
            if job.done():
                # None ends by itself: a stream that failed would be missing from what was measured.
                job.result()
        over = True
        if stops:
            await _stop_all(clients, jobs)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def _stop_all(clients: Sequence[ChatClient], jobs: Sequence[asyncio.Task[None]]) -> None:
    """Stop every answer once it has begun; a question before its first token would only get an error."""
    stopped: set[ChatClient] = set()
    while not all(job.done() for job in jobs):
        for client in clients:
            if client.answering and client not in stopped:
                stopped.add(client)
                client.stop()
        await asyncio.wait(jobs, timeout=0.02)
    await asyncio.gather(*jobs, return_exceptions=True)
