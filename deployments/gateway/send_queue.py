"""What waits to be sent on one socket: bounded, with consecutive tokens merged while the reader is slow."""

import asyncio
from collections import deque

from deployments.gateway.frames import Event, frame_of, merged

MAX_ENTRIES = 256
MAX_CHARS = 256 * 1024
_MERGE_CHARS = 16 * 1024


class SlowReader(Exception):
    """The client did not read for too long while the queue was full."""


class SendQueue:
    """One consumer, several producers; entries leave in order."""

    def __init__(self, request_id: str, patience_seconds: float) -> None:
        self._request_id = request_id
        self._patience = patience_seconds
        self._entries: deque[Event | str] = deque()
        self._chars = 0
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, entry: Event | str) -> None:
        """Queue an event or a finished frame. Raises SlowReader when there is no room for too long."""
        if self._merge(entry):
            return
        while len(self._entries) >= MAX_ENTRIES or self._chars >= MAX_CHARS:
            self._taken.clear()
            try:
                await asyncio.wait_for(self._taken.wait(), self._patience)
            except TimeoutError:
                raise SlowReader from None
        self._entries.append(entry)
        self._chars += _size(entry)
        self._idle.clear()
        self._filled.set()

    async def take(self) -> list[str]:
        """Every frame that waits, at least one."""
        while not self._entries:
            self._filled.clear()
            await self._filled.wait()
        entries = [self._entries.popleft() for _ in range(min(32, len(self._entries)))]
        self._chars -= sum(map(_size, entries))
        self._taken.set()
        return [entry if isinstance(entry, str) else frame_of(entry, self._request_id) for entry in entries]

    def sent(self) -> None:
        """The consumer has sent all that it took."""
        if not self._entries:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until everything that was put is sent."""
        await self._idle.wait()

    def _merge(self, entry: Event | str) -> bool:
        last = self._entries[-1] if self._entries else None
        if not isinstance(last, dict) or not isinstance(entry, dict) or _size(last) > _MERGE_CHARS:
            return False
        both = merged(last, entry)
        if both is None or self._chars >= MAX_CHARS:
            return False
        self._entries[-1] = both
        self._chars += len(entry["text"])
        return True


def _size(entry: Event | str) -> int:
    return len(entry) if isinstance(entry, str) else len(entry.get("text", "")) + 64
