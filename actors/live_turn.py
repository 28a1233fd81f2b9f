"""The numbered events of one turn, kept for replay and followed by any number of readers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from domain.ids import SessionId, TurnId

Event = dict[str, Any]


class LiveTurn:
    """Events are dicts `{"k": kind, "turn": id, "seq": n, …}`; seq is 0 for the ack, then 1, 2, 3 … without gaps."""

    def __init__(self, turn_id: TurnId, session_id: SessionId, first: int = 1) -> None:
        """`first` is the seq of the first event, where earlier ones are not kept."""
        self._before = first - 1
        self.turn_id = turn_id
        self.session_id = session_id
        self.ended = False
        self._events: list[Event] = []
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def seq(self) -> int:
        """The number of the latest event."""
        return self._before + len(self._events)

    def publish(self, kind: str, **fields: Any) -> None:
        """Append the next event and wake the followers."""
        self._events.append({"k": kind, "turn": str(self.turn_id), "seq": self.seq + 1, **fields})
        self._wake()

    def end(self, kind: str, **fields: Any) -> None:
        """Append the last event."""
        self.ended = True
        self.publish(kind, **fields)

    async def follow(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events with a seq above `after`: those that exist, then live ones until the turn ends."""
        position = max(after - self._before, 0)
        while True:
            while position < len(self._events):
                event = self._events[position]
                position += 1
                yield event
            if self.ended:
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
