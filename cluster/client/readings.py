"""The turns as one connection tells them: each numbered without a gap, whatever other connections told."""

from dataclasses import replace

from cluster.client.turn_view import Frame, ProtocolViolation, TurnView

MOST_TURNS = 20


class Readings:
    """A turn's events may come again from the start; the copy that gets further replaces the client's view."""

    def __init__(self, resumed: TurnView | None = None) -> None:
        """`resumed` is what the client had of the turn that it resumes on this connection."""
        self._views: dict[str, TurnView] = {}
        self._again: set[str] = set()
        """Turns that may begin anew, because their question was sent again."""
        if resumed is not None:
            self._views[resumed.turn_id] = replace(resumed)

    def begin_again(self, turn_id: str) -> None:
        """The server may send the turn from its first event."""
        if turn_id in self._views:
            self._again.add(turn_id)

    def take(self, frame: Frame) -> tuple[TurnView, ProtocolViolation | None]:
        """The turn after this event of it, and what was wrong with the event."""
        turn_id: str = frame["turn_id"]
        if turn_id in self._again:
            self._again.discard(turn_id)
            if frame["type"] == "gap" or (frame.get("first_seq") or frame["seq"]) == 1:
                del self._views[turn_id]
        view = self._views.get(turn_id)
        if view is None:
            view = self._views[turn_id] = TurnView(turn_id)
            if len(self._views) > MOST_TURNS:
                self._forget_one()
        wrong = view.check(frame)
        if wrong is None or (not view.ended and frame["seq"] > view.seq):
            view.apply(frame)
        return view, ProtocolViolation(wrong, frame) if wrong else None

    def _forget_one(self) -> None:
        """The oldest turn that has ended, or the oldest."""
        spare = next((known for known, view in self._views.items() if view.ended), next(iter(self._views)))
        del self._views[spare]
        self._again.discard(spare)
