"""One reader's view of one turn, rebuilt from its frames by the protocol's rules for numbers."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Reading:
    """`text` is None where pieces that overlap cannot be put together."""

    last: int = 0
    epoch: int = 0
    end: dict[str, Any] | None = None
    """The `done` or `error` frame."""
    problems: list[str] = field(default_factory=list)
    _texts: dict[int, str] = field(default_factory=lambda: {0: ""})
    """The whole text after the event of that number; ends of frames only."""

    @property
    def text(self) -> str | None:
        return self._texts.get(self.last)

    def take(self, frame: dict[str, Any]) -> None:
        """Apply the next frame of the turn; what breaks the rules goes to `problems`."""
        seq, epoch, kind = int(frame["seq"]), int(frame.get("epoch") or 0), frame["type"]
        first = int(frame.get("first_seq") or seq)
        if kind == "gap":
            if seq >= self.last or epoch > self.epoch:
                self._move(seq, max(epoch, self.epoch), frame["text"])
            return
        if epoch > self.epoch and first == 1:
            # The whole turn again, from the process that has it now.
            self.last, self._texts, self.end = 0, {0: ""}, None
        if seq <= self.last:
            self._compare(frame, first, seq, epoch)
            return
        if first > self.last + 1:
            self.problems.append(f"event {first} came after {self.last}")
        if epoch < self.epoch:
            self.problems.append(f"new event {seq} of epoch {epoch} after epoch {self.epoch}")
        if self.end is not None:
            self.problems.append(f"event {seq} came after the end")
        piece = frame["text"] if kind == "token" else ""
        before = self._texts.get(first - 1)
        self._move(seq, max(epoch, self.epoch), None if before is None else before + piece)
        if kind in ("done", "error"):
            self.end = frame

    def _move(self, seq: int, epoch: int, text: str | None) -> None:
        self.last, self.epoch = seq, epoch
        if text is not None:
            self._texts[seq] = text

    def _compare(self, frame: dict[str, Any], first: int, seq: int, epoch: int) -> None:
        """A number seen before is harmless when it says the same again."""
        if epoch > self.epoch:
            self.problems.append(f"epoch {epoch} used event {seq} again after {self.last} of epoch {self.epoch}")
        before, after = self._texts.get(first - 1), self._texts.get(seq)
        if frame["type"] == "token" and before is not None and after is not None and before + frame["text"] != after:
            self.problems.append(f"event {seq} came again with another text")


def read(frames: list[dict[str, Any]]) -> Reading:
    reading = Reading()
    for frame in frames:
        reading.take(frame)
    return reading
