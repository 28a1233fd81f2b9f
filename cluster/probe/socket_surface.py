"""The chat socket, opened and spoken to by tenant B with what belongs to tenant A."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from cluster.probe.marks import Marks, Report
from cluster.probe.planting import Party, ProbeFailed

SILENCE_SECONDS = 0.5
"""After a frame about something of A's; what comes within this time is looked at."""
NOT_FOUND, DENIED = 4404, 4403
_ENDS = ("done", "error")


class SocketSurface:
    def __init__(self, url: str, marks: Marks, report: Report) -> None:
        """`url` is the platform's, as ws:// or wss://."""
        self._url = url
        self._marks = marks
        self._report = report

    async def look(self, a: Party, b: Party, topic: str, answer_seconds: float) -> None:
        """Raises ProbeFailed when B cannot open its own socket."""
        theirs, own = a.side.ids, b.side.ids
        try:
            for who in ("owner", "visitor"):
                for bot in (theirs["chatbot_id"], own["chatbot_id"]):
                    await self._enter(who, b.tokens[who], bot, theirs["session_id"])
            await self._speak(b.tokens["owner"], own, theirs)
            await self._ask(b.tokens["owner"], own, topic, answer_seconds)
        except (OSError, WebSocketException, TimeoutError) as error:
            raise ProbeFailed(f"Tenant B's chat socket does not work ({type(error).__name__}).") from error

    async def _enter(self, who: str, token: str, bot: str, session: str) -> None:
        """A's session cannot be opened, neither under its own bot nor under B's."""
        async with self._open(bot, session) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            frames = await self._listen(socket, "socket auth", who, SILENCE_SECONDS, until=("ready",))
            if any(frame["type"] == "ready" for frame in frames) or socket.close_code not in (NOT_FOUND, DENIED):
                self._report.add("socket auth", who, ["another tenant's session was opened"])

    async def _speak(self, token: str, own: dict[str, str], theirs: dict[str, str]) -> None:
        """In its own session, B names A's turns and messages."""
        turn = theirs.get("turn_id", str(uuid4()))
        message = theirs.get("message_id", str(uuid4()))
        question = theirs.get("question_id", str(uuid4()))
        frames: list[dict[str, Any]] = [
            {"type": "stop", "turn_id": turn},
            {"type": "delivered", "message_id": message},
            {"type": "regenerate", "id": str(uuid4()), "turn_id": turn},
            {"type": "message", "id": str(uuid4()), "text": "Hello?", "edits": question},
        ]
        resume = {"turn_id": turn, "seq": 0, "epoch": 0}
        async with self._open(own["chatbot_id"], own["session_id"]) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token, "resume": resume}))
            answers = await self._listen(socket, "socket resume", "owner", SILENCE_SECONDS, asked=str(resume))
            if not any(frame["type"] == "ready" for frame in answers):
                raise ProbeFailed("Tenant B's own chat socket was refused.")
            self._expect_nothing("socket resume", answers)
            for frame in frames:
                await socket.send(json.dumps(frame))
                surface = f"socket {frame['type']}"
                answers = await self._listen(socket, surface, "owner", SILENCE_SECONDS, asked=str(frame))
                self._expect_nothing(surface, answers)

    async def _ask(self, token: str, own: dict[str, str], topic: str, answer_seconds: float) -> None:
        """B's bot knows nothing of what only A's document says."""
        async with self._open(own["chatbot_id"], own["session_id"]) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            await self._listen(socket, "socket auth", "owner", SILENCE_SECONDS, until=("ready",))
            question = {"type": "message", "id": str(uuid4()), "text": f"What is the code word of {topic}?"}
            await socket.send(json.dumps(question))
            frames = await self._listen(socket, "retrieval", "owner", answer_seconds, until=_ENDS)
            if not frames or frames[-1]["type"] != "done":
                # Its plan may be used up, or no model runs.
                self._report.missing.append("an answer of tenant B's bot")
            text = "".join(str(frame.get("text", "")) for frame in frames)
            self._report.add("retrieval", "owner", self._marks.found_in(text))

    def _expect_nothing(self, surface: str, frames: list[dict[str, Any]]) -> None:
        if any(frame["type"] in ("ack", "token", "gap", "citations", "done") for frame in frames):
            self._report.add(surface, "owner", ["another tenant's turn answered"])

    def _open(self, bot: str, session: str) -> connect:
        return connect(f"{self._url}/chatbots/{bot}/sessions/{session}/ws", proxy=None)

    async def _listen(
        self,
        socket: ClientConnection,
        surface: str,
        who: str,
        seconds: float,
        until: tuple[str, ...] = (),
        asked: str = "",
    ) -> list[dict[str, Any]]:
        """The frames until one of these kinds, the end, or `seconds` without one; each is searched."""
        frames: list[dict[str, Any]] = []
        self._report.checks["socket"] += 1
        try:
            while not frames or frames[-1]["type"] not in until:
                text = str(await asyncio.wait_for(socket.recv(), seconds))
                self._report.add(surface, who, self._marks.found_in(text, asked))
                frames.append(json.loads(text))
        except (TimeoutError, ConnectionClosed):
            pass
        return frames
