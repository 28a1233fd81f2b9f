"""What a client knows of one turn, from the events it has had so far."""

from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]


class ProtocolViolation(Exception):
    """The server sent what the protocol forbids, or left out what it promises."""

    def __init__(self, reason: str, frame: Frame) -> None:
        self.reason = reason
        self.frame = frame
        super().__init__(reason)


@dataclass
class TurnView:
    turn_id: str
    seq: int = 0
    """The last event that is part of this view."""
    epoch: int = 0
    text: str = ""
    stage: str | None = None
    position: int | None = None
    """The place in the queue while `stage` is `queued`; 1 is next."""
    citations: list[Frame] = field(default_factory=list)
    done: Frame | None = None
    error: Frame | None = None

    @property
    def ended(self) -> bool:
        return self.done is not None or self.error is not None

    @property
    def progress(self) -> tuple[bool, int, int]:
        """Of two views of one turn the greater one knows more.

        The end counts first: an answer from the store is cut into fewer events than the client may have seen live.
        """
        return self.ended, self.epoch, self.seq

    def check(self, frame: Frame) -> str | None:
        """Why this frame cannot be the next of the turn; None when it can."""
        seq, epoch = frame["seq"], frame.get("epoch") or 0
        first = frame.get("first_seq") or seq
        if self.ended:
            return f"event {seq} after the end of the turn"
        if epoch < self.epoch:
            return f"epoch {epoch} after epoch {self.epoch}"
        if frame["type"] == "gap":
            # A process that took the turn over may have kept less than the client has seen.
            return None if seq > self.seq or epoch > self.epoch else f"gap up to {seq} after event {self.seq}"
        if first > seq:
            return f"a frame for the events {first} to {seq}"
        return None if first == self.seq + 1 else f"event {first} after event {self.seq}"

    def apply(self, frame: Frame) -> None:
        """Take the frame in; after a fault that `check` found, what was left out stays out."""
        kind = frame["type"]
        self.seq, self.epoch = frame["seq"], frame.get("epoch") or 0
        if kind == "token":
            self.text += frame["text"]
        elif kind == "gap":
            self.text = frame["text"]
        elif kind == "status":
            self.stage, self.position = frame["stage"], frame.get("position")
        elif kind == "citations":
            self.citations = frame["citations"]
        elif kind == "done":
            self.done = frame
        else:
            self.error = frame
