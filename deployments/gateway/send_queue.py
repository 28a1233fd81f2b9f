"""What waits to be sent on one socket: bounded, with consecutive tokens merged while the reader is slow."""

import asyncio
from collections import deque
from collections.abc import Callable

from deployments.gateway.frames import Event, frame_of, merged

MAX_ENTRIES = 256
MAX_CHARS = 256 * 1024
_AT_ONCE = 32
_MERGE_CHARS = 16 * 1024


class SlowReader(Exception):
    """The client did not read for too long while the queue was full."""


class SendQueue:
    """One consumer, several producers; entries leave in order. An empty queue holds next to nothing."""

    __slots__ = ("_chars", "_entries", "_filled", "_idle", "_patience", "_request_id", "_taken")

    def __init__(self, request_id: str, patience_seconds: float, filled: Callable[[], None]) -> None:
        """`filled` is called with every entry: somebody has to take it."""
        self._request_id = request_id
        self._patience = patience_seconds
        self._filled = filled
        self._entries: deque[Event | str] | None = None
        self._chars = 0
        self._taken: asyncio.Event | None = None
        self._idle: asyncio.Event | None = None

    async def put(self, entry: Event | str) -> None:
        """Queue an event or a finished frame. Raises SlowReader when there is no room for too long."""
        if self._merge(entry):
            return
        while self._count >= MAX_ENTRIES or self._chars >= MAX_CHARS:
            if self._taken is None:
                self._taken = asyncio.Event()
            self._taken.clear()
            try:
                async with asyncio.timeout(self._patience):
                    await self._taken.wait()
            except TimeoutError:
                raise SlowReader from None
        self._add(entry)

    def put_now(self, frame: str) -> None:
        """Queue the answer to a frame of the client's, without waiting: whoever reads goes on reading.

        Raises SlowReader when the client sends and sends and reads nothing.
        """
        if self._count >= 2 * MAX_ENTRIES:
            raise SlowReader
        self._add(frame)

    def take(self) -> list[str]:
        """Up to 32 frames that wait; none when the queue is empty."""
        entries = self._entries
        if not entries:
            self._entries = self._taken = None
            return []
        taken = [entries.popleft() for _ in range(min(_AT_ONCE, len(entries)))]
        self._chars -= sum(map(_size, taken))
        if self._taken is not None:
            self._taken.set()
        return [entry if isinstance(entry, str) else frame_of(entry, self._request_id) for entry in taken]

    def sent(self) -> None:
        """The consumer has sent all that there was."""
        if self._idle is not None:
            self._idle.set()

    async def drained(self, sending: bool) -> None:
        """Wait until everything that was put is sent; `sending` says that the consumer is at work."""
        if self._entries or sending:
            self._idle = asyncio.Event()
            await self._idle.wait()

    @property
    def _count(self) -> int:
        return len(self._entries) if self._entries else 0

    def _add(self, entry: Event | str) -> None:
        if self._entries is None:
            self._entries = deque()
        self._entries.append(entry)
        self._chars += _size(entry)
        self._filled()

    def _merge(self, entry: Event | str) -> bool:
        last = self._entries[-1] if self._entries else None
        if not isinstance(last, dict) or not isinstance(entry, dict) or _size(last) > _MERGE_CHARS:
            return False
        both = merged(last, entry)
        if both is None or self._chars >= MAX_CHARS or self._entries is None:
            return False
        self._entries[-1] = both
        self._chars += len(entry["text"])
        return True


def _size(entry: Event | str) -> int:
    return len(entry) if isinstance(entry, str) else len(entry.get("text", "")) + 64
