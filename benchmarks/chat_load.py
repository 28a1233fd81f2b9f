"""Chat clients for measurements: sockets that ask at the same time, and what arrived when."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect


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


async def open_sockets(urls: Sequence[str], token: str | None) -> list[ClientConnection]:
    """Connected sockets; with `token` they have said `auth` and heard `ready`."""
    sockets = []
    for url in urls:
        socket = await connect(url, compression=None, max_queue=None)
        if token is not None:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            ready: dict[str, Any] = json.loads(await socket.recv())
            assert ready["type"] == "ready", ready
        sockets.append(socket)
    return sockets


async def ask(socket: ClientConnection) -> Answer:
    """One question to its end."""
    answer = Answer(time.perf_counter())
    await socket.send(json.dumps({"type": "message", "id": str(uuid4()), "text": "Tell me."}))
    async for frame in socket:
        fields = json.loads(frame)
        if fields["type"] == "token":
            count = fields["seq"] - fields.get("first_seq", fields["seq"]) + 1
            answer.tokens += [time.perf_counter()] * count
        elif fields["type"] == "done":
            answer.done = time.perf_counter()
            return answer
        elif fields["type"] == "error":
            raise RuntimeError(str(frame))
    raise RuntimeError("the socket was closed")


async def ask_all(sockets: Sequence[ClientConnection]) -> list[Answer]:
    return list(await asyncio.gather(*(ask(socket) for socket in sockets)))


def tokens_per_second(answers: Sequence[Answer]) -> float:
    """Tokens of all answers over the time from the first question to the last frame."""
    seconds = max(answer.done for answer in answers) - min(answer.asked for answer in answers)
    return sum(len(answer.tokens) for answer in answers) / seconds
