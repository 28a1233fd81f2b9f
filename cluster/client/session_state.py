"""What a client knows of its session and still has to say, apart from any socket."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cluster.client.answer import Answer, ChatError
from cluster.client.readings import Readings
from cluster.client.turn_view import Frame, ProtocolViolation, TurnView

MOST_VIEWS = 100
MOST_LOSSES = 10
_STREAM_LOST = frozenset(("unavailable", "stale_epoch", "internal_error"))
"""Errors that end a stream of events but not the turn itself."""
_NOT_RESUMED = frozenset(("not_found", "invalid_input"))
"""Errors of a resume: the server knows the turn no longer, or less of it than the client."""
_FRAME_REFUSED = frozenset(("rate_limited", "too_large", "invalid_frame"))
"""Errors that do not say which frame was dropped."""


class Link(Protocol):
    """The connection that a frame came by."""

    readings: Readings
    resumed: str | None
    """The turn that was resumed with the sign-in."""

    def post(self, frame: Frame) -> None:
        """Send a frame soon, in order."""

    def leave(self) -> None:
        """Give this connection up, so that another one resumes."""


@dataclass
class Question:
    frame: Frame
    answer: Answer
    stop: bool = False
    losses: int = 0
    """How often the stream of its turn broke since its last event."""


class SessionState:
    """Frames go in; what is to be sent goes to the link. It holds no socket and waits for nothing."""

    def __init__(self, violated: Callable[[ProtocolViolation], None]) -> None:
        self.views: dict[str, TurnView] = {}
        self.ready: Frame = {}
        self.fatal: ChatError | None = None
        self._violated = violated
        self._open: dict[str, Question] = {}
        """Questions without an end, by their id, oldest first."""
        self._owners: dict[str, Question] = {}
        """Acknowledged ones of `_open`, by turn."""
        self._receipt: str | None = None

    # What the user wants.

    def ask(self, frame: Frame, link: Link | None) -> Answer:
        """`frame` is a `message` or `regenerate`. Asking an open question again sends it again."""
        question = self._open.get(frame["id"])
        if question is None:
            question = Question(frame, Answer(frame["id"]))
            if self.fatal is not None:
                question.answer.take_error(self.fatal)
                return question.answer
            self._open[frame["id"]] = question
        if link is not None:
            link.post(question.frame)
        return question.answer

    def stop(self, turn_id: str | None, link: Link | None) -> None:
        """End the turn, or the running one. What cannot be sent now is sent when it can."""
        target = turn_id or next(reversed(self._owners), None)
        if target is None:
            waiting = next(reversed(self._open.values()), None)
            if waiting is not None:
                waiting.stop = True
                return
            target = next((view.turn_id for view in reversed(self.views.values()) if not view.ended), None)
        elif target in self._owners:
            self._owners[target].stop = True
        if link is not None:
            link.post({"type": "stop", "turn_id": target} if target else {"type": "stop"})

    def delivered(self, message_id: str, link: Link | None) -> None:
        self._receipt = message_id
        if link is not None:
            link.post({"type": "delivered", "message_id": message_id})

    def fail(self, error: ChatError) -> None:
        """Nothing more will come: every question ends with this error."""
        self.fatal = error
        for question in list(self._open.values()):
            self._close(question, error)

    # What connections need and bring.

    def resumable(self) -> TurnView | None:
        """The turn to resume with the next sign-in: the latest without an end, of this client's own if there is one."""
        views = [view for view in self.views.values() if not view.ended]
        own = [view for view in views if view.turn_id in self._owners]
        chosen = own or views
        return chosen[-1] if chosen else None

    def take(self, frame: Frame, link: Link) -> None:
        """A frame that the protocol has, `pong` and `reconnect` excepted."""
        kind = frame["type"]
        if kind == "ready":
            self._take_ready(frame, link)
        elif kind == "ack":
            self._take_ack(frame, link)
        elif kind == "error" and frame.get("seq") is None:
            self._take_error(frame, link)
        else:
            self._take_event(frame, link)

    def _take_ready(self, frame: Frame, link: Link) -> None:
        self.ready = frame
        for question in list(self._open.values()):
            turn_id = question.answer.turn_id
            if turn_id is None or turn_id != link.resumed:
                link.post(question.frame)
            if turn_id is not None and question.stop:
                link.post({"type": "stop", "turn_id": turn_id})
        if any(answer["message_id"] == self._receipt for answer in frame.get("undelivered", ())):
            link.post({"type": "delivered", "message_id": self._receipt})
        active = frame.get("active_turn")
        if active is not None and active["turn_id"] not in self.views and not self._open:
            # Another tab's answer is being written; only a resume brings its events.
            self._keep(TurnView(active["turn_id"]))
            link.leave()

    def _take_ack(self, frame: Frame, link: Link) -> None:
        turn_id: str = frame["turn_id"]
        if frame.get("duplicate"):
            link.readings.begin_again(turn_id)
        question = self._open.get(frame["id"])
        if question is None:
            return
        known = question.answer.turn_id
        if known is not None and known != turn_id:
            self._violated(ProtocolViolation(f"acknowledged as turn {turn_id} after {known}", frame))
            return
        self._owners[turn_id] = question
        if turn_id not in self.views:
            self._keep(TurnView(turn_id))
        question.answer.take_ack(turn_id)
        if known is None and question.stop:
            link.post({"type": "stop", "turn_id": turn_id})
        if self.views[turn_id].seq:
            self._show(self.views[turn_id])

    def _take_event(self, frame: Frame, link: Link) -> None:
        reading, violation = link.readings.take(frame)
        if violation is not None:
            self._violated(violation)
        view = self.views.get(reading.turn_id)
        if view is None or view is reading or reading.progress >= view.progress:
            self._keep(reading)
            self._show(reading)

    def _take_error(self, frame: Frame, link: Link) -> None:
        error = ChatError.of(frame)
        about: str | None = frame.get("turn_id")
        question = self._open.get(frame.get("id") or "")
        if question is not None and question.answer.turn_id is None:
            self._close(question, error)
        elif question is not None and question.answer.turn_id is not None:
            self._lose(question.answer.turn_id, frame, link)
        elif about is not None:
            self._lose(about, frame, link)
        elif frame.get("id") is None and error.code in _FRAME_REFUSED:
            for waiting in [question for question in self._open.values() if question.answer.turn_id is None]:
                self._close(waiting, error)

    def _lose(self, turn_id: str, frame: Frame, link: Link) -> None:
        """The stream of a turn broke before the turn's end."""
        error = ChatError.of(frame)
        question = self._owners.get(turn_id)
        view = self.views.get(turn_id)
        if error.code == "turn_not_running" or view is None or view.ended:
            return
        if question is None:
            if error.code == "invalid_input":
                self._keep(TurnView(turn_id))
                link.leave()
            elif error.code not in _STREAM_LOST:
                # Nothing more of it is to be had.
                view.error = frame
            return
        question.losses += 1
        if question.losses > MOST_LOSSES:
            self._close(question, error)
        elif error.code in _STREAM_LOST:
            link.leave()
        elif error.code in _NOT_RESUMED and frame.get("id") is None:
            # Asking again brings all of it.
            link.post(question.frame)
        else:
            self._close(question, error)

    def _show(self, view: TurnView) -> None:
        question = self._owners.get(view.turn_id)
        if question is not None:
            question.losses = 0
            question.answer.take_view(view)
            if view.ended:
                self._close(question)

    def _close(self, question: Question, error: ChatError | None = None) -> None:
        self._open.pop(question.answer.id, None)
        if question.answer.turn_id is not None:
            self._owners.pop(question.answer.turn_id, None)
        if error is not None:
            question.answer.take_error(error)

    def _keep(self, view: TurnView) -> None:
        self.views[view.turn_id] = view
        if len(self.views) > MOST_VIEWS:
            spare = (turn_id for turn_id in self.views if turn_id not in self._owners and turn_id != view.turn_id)
            self.views.pop(next(spare, ""), None)
