"""Closes the sockets of those who may no longer have them: looks when told to, and every few seconds by itself."""

from collections.abc import Sequence
from typing import Protocol

import structlog
from redis.asyncio import Redis

from domain.errors import AppError, Forbidden, NotAuthenticated, TenantSuspended
from domain.permissions import Permission, check
from storage.postgres.callers import Caller, Callers, Present
from storage.postgres.database import Database, system_tx
from storage.redis.access import CHANNEL, AccessEnded, parse_end

log = structlog.get_logger()

LOOK_SECONDS = 3.0
"""A socket whose end nobody announced is closed within this and the time of one statement."""
_POLL_SECONDS = 5.0
"""Below the client's longest wait for an answer."""


class Refusable(Protocol):
    def refuse(self, error: AppError) -> None:
        """Close, and say why; harmless when it is closed already."""


class OpenAccess:
    """The sockets of this process by who opened them.

    While the database is away nobody is shut out: what is not known to have ended goes on.
    """

    def __init__(self, db: Database, redis: Redis) -> None:
        self._db = db
        self._redis = redis
        self._sockets: dict[Caller, list[Refusable]] = {}

    def add(self, caller: Caller, socket: Refusable) -> None:
        self._sockets.setdefault(caller, []).append(socket)

    def remove(self, caller: Caller, socket: Refusable) -> None:
        sockets = self._sockets[caller]
        sockets.remove(socket)
        if not sockets:
            del self._sockets[caller]

    async def listen(self) -> None:
        """Look at whom others announce; until the connection is lost, for `actors.loops.repeat`. Raises RedisError."""
        async with self._redis.pubsub() as announcements:
            await announcements.subscribe(CHANNEL)
            while True:
                message = await announcements.get_message(ignore_subscribe_messages=True, timeout=_POLL_SECONDS)
                ended = parse_end(message["data"]) if message else None
                if ended is not None:
                    await self._look_at(ended)

    async def look(self) -> None:
        """Close the sockets of all who may no longer have them; for `actors.loops.repeat`. Raises Unavailable."""
        await self._check(list(self._sockets))

    async def _look_at(self, ended: AccessEnded) -> None:
        callers = [
            caller
            for caller in self._sockets
            if caller.tenant_id == ended.tenant_id and ended.subject in (None, caller.id, caller.user_id)
        ]
        try:
            await self._check(callers)
        except AppError as error:
            log.warning("access.not_checked", error=type(error).__name__)

    async def _check(self, callers: Sequence[Caller]) -> None:
        if not callers:
            return
        async with system_tx(self._db) as tx:
            present = await Callers(tx).present(callers)
        for caller, now in zip(callers, present, strict=True):
            error = _refusal(caller, now)
            if error is not None:
                for socket in tuple(self._sockets.get(caller, ())):
                    socket.refuse(error)


def _refusal(caller: Caller, now: Present) -> AppError | None:
    if now.suspended:
        return TenantSuspended()
    if caller.kind == "sign_in" and (not now.known or now.role is None):
        return Forbidden("This account does not belong to the company any more.")
    if not now.alive or (caller.kind == "api_key" and now.role is None):
        return NotAuthenticated("The session or key that opened this socket has ended.")
    try:
        check(now.role, Permission.CONVERSATIONS_REPLY, now.scopes)
    except Forbidden as error:
        return error
    return None
