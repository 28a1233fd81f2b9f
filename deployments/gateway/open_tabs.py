"""The sockets of this process by session, so that a turn which begins in one tab is followed by the others."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from actors.loops import repeat
from domain.errors import Unavailable
from domain.ids import SessionId, TenantId

_AGAIN_SECONDS = 0.25
_FAILED_SECONDS = 5.0
"""After an error that is no loss: a host of an earlier version may not know the method."""


class Watched(Protocol):
    async def hosts(self) -> list[str]:
        """The names of the session hosts known."""

    def watch(self, host: str) -> AsyncGenerator[dict[str, Any], None]:
        """`{"tenant", "session", "turn"}` of every turn that begins there, `{"tenant", "erased": [session] | None}` of
        sessions that were erased. Raises Unavailable when it is lost."""


class Tab(Protocol):
    def notice(self, turn_id: str) -> None:
        """A turn has begun in the tab's session; it may be the tab's own."""

    def erased(self) -> None:
        """The tab's session does not exist any more."""


class OpenTabs:
    def __init__(self) -> None:
        self._tabs: dict[tuple[UUID, UUID], list[Tab]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    def add(self, tenant_id: TenantId, session_id: SessionId, tab: Tab) -> None:
        """Tell `tab` of turns until it is removed."""
        self._tabs.setdefault((tenant_id, session_id), []).append(tab)

    def remove(self, tenant_id: TenantId, session_id: SessionId, tab: Tab) -> None:
        tabs = self._tabs[tenant_id, session_id]
        tabs.remove(tab)
        if not tabs:
            del self._tabs[tenant_id, session_id]

    async def watch(self, conversations: Watched) -> None:
        """Keep one watch on every host that is known; for `actors.loops.repeat`."""
        known = await conversations.hosts()
        for host in self._watches.keys() - set(known):
            self._watches.pop(host).cancel()
        for host in known:
            if host not in self._watches:
                # The stream outlives the request that happens to make its connection: it gets no request's context.
                self._watches[host] = asyncio.get_running_loop().create_task(
                    repeat(f"watch-{host}", partial(self._watch, conversations, host), _FAILED_SECONDS),
                    context=contextvars.Context(),
                )

    async def close(self) -> None:
        """End every watch."""
        for task in self._watches.values():
            task.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)

    def _end(self, tenant_id: UUID, sessions: list[str] | None) -> None:
        """Tell the tabs of these sessions, or of all the tenant's, that theirs is gone."""
        gone = None if sessions is None else {UUID(session) for session in sessions}
        for (tenant, session), tabs in list(self._tabs.items()):
            if tenant == tenant_id and (gone is None or session in gone):
                for tab in tuple(tabs):
                    tab.erased()

    async def _watch(self, conversations: Watched, host: str) -> float | None:
        """Pass the announcements of one host on until it is lost."""
        try:
            async with aclosing(conversations.watch(host)) as items:
                async for item in items:
                    if "erased" in item:
                        self._end(UUID(item["tenant"]), item["erased"])
                        continue
                    for tab in tuple(self._tabs.get((UUID(item["tenant"]), UUID(item["session"])), ())):
                        tab.notice(item["turn"])
        except Unavailable:
            pass
        return _AGAIN_SECONDS
