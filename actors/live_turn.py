"""The numbered events of one turn: published, made safe against this process's death, then shown to followers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from domain.errors import InvalidInput, Unavailable
from domain.ids import SessionId, TenantId, TurnId
from storage.keys import TenantCipher

Event = dict[str, Any]
MOVED = "The conversation moved to another process; try again."
ENDING = ("citations", "done", "error")
"""What comes after the text, and is told by itself."""


class LiveTurn:
    """Events are dicts `{"k": kind, "turn": id, "epoch": e, "seq": n, …}`; seq is 1, 2, 3 … without gaps.

    A follower sees an event only after it was `stored` (or the log gave up on it), so that no reader ever has one that
    the process taking over does not know. Tokens that wait to be stored are merged into one event.
    """

    def __init__(
        self,
        tenant_id: TenantId,
        turn_id: TurnId,
        session_id: SessionId,
        epoch: int,
        save: Callable[["LiveTurn"], None],
        earlier: Sequence[Event] = (),
        cipher: TenantCipher | None = None,
    ) -> None:
        """`earlier` are the events that another process published; `save` is called when there are new ones.

        `cipher` seals the events that are stored; a turn whose `save` stores nothing needs none.
        """
        self.tenant_id = tenant_id
        self.turn_id = turn_id
        self.session_id = session_id
        self.epoch = epoch
        self.cipher = cipher
        self.ended = False
        self.abandoned = False
        self.stored = 0
        """How many events are in this epoch's log."""
        self._turn = str(turn_id)
        self._save = save
        self._events: list[Event] = list(earlier)
        self._sealed = self._shown = len(earlier)
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def seq(self) -> int:
        """The number of the latest event that followers can see."""
        return self._shown

    def publish(self, kind: str, **fields: Any) -> None:
        """Append the next event."""
        events = self._events
        if kind == "token" and len(events) > self._sealed and events[-1]["k"] == "token":
            events[-1]["text"] += fields["text"]
            events[-1]["n"] += fields["n"]
        else:
            events.append({"k": kind, "turn": self._turn, "epoch": self.epoch, "seq": len(events) + 1, **fields})
        self._save(self)

    def end(self, kind: str, **fields: Any) -> None:
        """Append the last event."""
        self.ended = True
        self.publish(kind, **fields)

    def abandon(self) -> None:
        """Another process has the turn: followers are sent there."""
        self.abandoned = True
        self._wake()

    def take(self) -> list[Event]:
        """The events that are to be stored; they change no more."""
        self._sealed = len(self._events)
        return self._events[self.stored :]

    def show(self, stored: int | None = None) -> None:
        """Let followers see what was taken; `stored` is how many events the log has now."""
        if stored is not None:
            self.stored = stored
        else:
            self._sealed = len(self._events)
        self._shown = max(self._shown, self._sealed if stored is None else stored)
        self._wake()

    async def follow(self, after: int = 0, epoch: int | None = None) -> AsyncGenerator[Event, None]:
        """Events with a seq above `after`: those that exist, then live ones until the turn ends.

        `epoch` is that of the reader's event `after`: when that event is another one here, the text so far comes as a
        `gap`. Raises InvalidInput for a seq that is still to come, Unavailable when another process has the turn.
        """
        ahead = after > self._shown
        if ahead and (epoch is None or epoch >= self.epoch):
            raise InvalidInput("The turn has no event of that number yet.")
        position = after
        if ahead or (after and epoch is not None and self._events[after - 1]["epoch"] != epoch):
            # A process that is gone had shown events that this one has otherwise, or not at all.
            while not self._shown and not self.abandoned:
                await self._news()
            if self.abandoned:
                raise Unavailable(MOVED)
            gap = self._gap()
            yield gap
            position = gap["seq"]
        while True:
            while position < self._shown:
                event = self._events[position]
                position += 1
                yield event
            if self.ended and position == len(self._events):
                return
            if self.abandoned:
                raise Unavailable(MOVED)
            await self._news()

    async def _news(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _gap(self) -> Event:
        """The text that followers can see, under the number of the last event before the turn's end."""
        shown = self._events[: self._shown]
        end = next((place for place, event in enumerate(shown) if event["k"] in ENDING), len(shown))
        text = "".join(event["text"] for event in shown[:end] if event["k"] == "token")
        return {"k": "gap", "turn": self._turn, "epoch": self.epoch, "seq": end, "text": text}

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
