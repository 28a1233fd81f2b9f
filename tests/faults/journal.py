"""What every client of a run sent and received: frames per reader in their order, and the questions asked."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    code: int
    reason: str
    at: float
    """Seconds of the monotonic clock."""


@dataclass(slots=True)
class Reader:
    """One client on one session, over all the sockets it opened; a second tab is another reader."""

    name: str
    follows_to_end: bool = True
    """False for a client that leaves or stops reading: it need not see how a turn ends."""
    received: list[Frame] = field(default_factory=list)
    sent: list[Frame] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """What the client itself found wrong with the numbers."""

    def observe(self, kind: str, fields: dict[str, Any]) -> None:
        """The `observe` of a ChatClient."""
        if kind == "received":
            self.received.append(fields["frame"])
        elif kind == "sent":
            self.sent.append(fields["frame"])
        elif kind == "closed":
            self.closes.append(Close(int(fields.get("code") or 0), str(fields.get("reason") or ""), time.monotonic()))
        elif kind == "violation":
            self.violations.append(str(fields))

    def acks(self) -> Iterator[Frame]:
        return (frame for frame in self.received if frame["type"] == "ack")

    def by_turn(self) -> dict[str, list[Frame]]:
        """The numbered frames of each turn, in the order they came."""
        turns: dict[str, list[Frame]] = {}
        for frame in self.received:
            if frame.get("seq") is not None and frame.get("turn_id"):
                turns.setdefault(str(frame["turn_id"]), []).append(frame)
        return turns


@dataclass(slots=True)
class SessionJournal:
    tenant_id: str
    canary: str
    """A word that only this tenant's questions hold."""
    session_id: str
    asked: dict[str, str] = field(default_factory=dict)
    """Text by the client's id of the question."""
    readers: list[Reader] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Ids of the questions that had neither an answer nor an error when their deadline passed."""
    errors: dict[str, int] = field(default_factory=dict)
    """How many questions ended with an error of each code."""

    def note_error(self, code: str) -> None:
        self.errors[code] = self.errors.get(code, 0) + 1

    def reader(self, name: str, *, follows_to_end: bool = True) -> Reader:
        made = Reader(name, follows_to_end)
        self.readers.append(made)
        return made


@dataclass(slots=True)
class Journal:
    """All sessions of one run."""

    sessions: list[SessionJournal] = field(default_factory=list)

    def open(self, tenant_id: str, canary: str, session_id: str) -> SessionJournal:
        made = SessionJournal(tenant_id, canary, session_id)
        self.sessions.append(made)
        return made

    def readers(self) -> Iterator[tuple[SessionJournal, Reader]]:
        return ((session, reader) for session in self.sessions for reader in session.readers)

    def mid_stream(self) -> bool:
        """Whether some turn's latest frame at a reader is a piece of text."""
        return any(
            frames[-1]["type"] == "token" for _, reader in self.readers() for frames in reader.by_turn().values()
        )

    def taken_over(self) -> set[str]:
        """Turns whose events some reader got from more than one process."""
        return {
            turn_id
            for _, reader in self.readers()
            for turn_id, frames in reader.by_turn().items()
            if len({frame.get("epoch") for frame in frames}) > 1
        }

    def errors(self) -> dict[str, int]:
        return dict(sum((Counter(session.errors) for session in self.sessions), Counter[str]()))


Observe = Callable[[str, dict[str, Any]], None]
