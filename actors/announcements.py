"""Tells every gateway that asks which turns begin on this host."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from actors.live_turn import LiveTurn

QUEUE_ITEMS = 10_000
"""What may wait for one watcher; a slower one misses announcements, and asks when it next opens a session."""


class Announcements:
    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[dict[str, str]]] = set()

    def publish(self, live: LiveTurn) -> None:
        item = {"tenant": str(live.tenant_id), "session": str(live.session_id), "turn": str(live.turn_id)}
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(item)

    async def watch(self, _payload: Any) -> AsyncGenerator[dict[str, str], None]:
        """`{"tenant", "session", "turn"}` of every turn that begins, until the caller leaves."""
        queue: asyncio.Queue[dict[str, str]] = asyncio.Queue(QUEUE_ITEMS)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)
