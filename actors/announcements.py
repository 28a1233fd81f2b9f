"""Tells every gateway that asks which turns begin on this host, and which sessions were erased."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from actors.live_turn import LiveTurn
from domain.ids import SessionId, TenantId

QUEUE_ITEMS = 10_000
"""What may wait for one watcher; a slower one misses announcements, and asks when it next opens a session."""


class Announcements:
    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[dict[str, Any]]] = set()

    def publish(self, live: LiveTurn) -> None:
        self._tell({"tenant": str(live.tenant_id), "session": str(live.session_id), "turn": str(live.turn_id)})

    def _tell(self, item: dict[str, Any]) -> None:
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(item)

    def erased(self, tenant_id: TenantId, sessions: frozenset[SessionId] | None) -> None:
        """These sessions are gone, or all of the tenant's: their sockets are to be closed."""
        self._tell({"tenant": str(tenant_id), "erased": None if sessions is None else [str(one) for one in sessions]})

    async def watch(self, _payload: Any) -> AsyncGenerator[dict[str, Any], None]:
        """`{"tenant", "session", "turn"}` of every turn that begins, and `{"tenant", "erased": [session] | None}`
        of what was erased, until the caller leaves."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_ITEMS)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)
