"""Makes the events of running turns safe: one write at a time for all turns of the process, then they are shown."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog
from redis.exceptions import RedisError

from actors.live_turn import LiveTurn
from domain.ids import TurnId
from storage.keys import TenantCipher
from storage.redis.turn_events import Event, TurnEvents, TurnWrite

log = structlog.get_logger()

LEAST_SECONDS = 0.003
"""Between the beginnings of two writes: under load, one write carries the events of many turns."""
PATIENCE_SECONDS = 0.5
"""How long readers wait for a write before they get the events without it."""
RETRY_SECONDS = 0.5
BATCH_TURNS = 256


class ReplayLog:
    """While Redis is away the events are shown unsafe; once it is back, they are written from where they were."""

    def __init__(self, events: TurnEvents) -> None:
        self._events = events
        self._waiting: dict[LiveTurn, None] = {}
        self._wake = asyncio.Event()
        self._away = False
        self._writing = asyncio.Lock()

    def save(self, live: LiveTurn) -> None:
        """Store the turn's new events soon, and show them then."""
        if live.abandoned:
            return
        self._waiting[live] = None
        self._wake.set()
        if self._away:
            live.show()

    async def read(self, cipher: TenantCipher, turn_id: TurnId, epoch: int) -> list[Event]:
        """The events of a turn as an epoch wrote them; empty when there are none, or Redis is away."""
        with suppress(RedisError, OSError):  # TimeoutError is an OSError
            async with asyncio.timeout(PATIENCE_SECONDS * 4):
                return await self._events.read(cipher, turn_id, epoch)
        return []

    async def keep(self, live: LiveTurn) -> None:
        """Store what another process published in this one's own log, so that the next to take over finds it."""
        with suppress(RedisError, OSError):
            async with asyncio.timeout(PATIENCE_SECONDS * 4):
                await self._write([live])

    async def forget(self, turns: Sequence[LiveTurn]) -> None:
        """Write nothing of these turns from now on; they are abandoned."""
        for live in turns:
            self._waiting.pop(live, None)
        async with self._writing:
            pass  # what was on its way has arrived

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            began = time.monotonic()
            turns = list(self._waiting)[:BATCH_TURNS]
            for live in turns:
                del self._waiting[live]
            if not self._waiting:
                self._wake.clear()
            try:
                async with self._writing, asyncio.timeout(PATIENCE_SECONDS):
                    await self._write(turns)
            except (RedisError, OSError) as error:
                self._give_up(turns, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._away:
                self._away = False
                log.info("replay.back")
            pause = LEAST_SECONDS - (time.monotonic() - began)
            if pause > 0:
                await asyncio.sleep(pause)

    async def _write(self, turns: list[LiveTurn]) -> None:
        writes, ends = [], []
        for live in turns:
            events = live.take()
            if events:
                assert live.cipher is not None, "a turn that is logged has a cipher"
                writes.append(TurnWrite(live.cipher, live.turn_id, live.epoch, events, live.stored == 0, live.ended))
                ends.append((live, events[-1]["seq"]))
        if not writes:
            return
        for (live, end), kept in zip(ends, await self._events.append(writes), strict=True):
            if kept:
                live.show(end)
            else:
                # The server was emptied meanwhile: the turn's events are written again from the first.
                live.show()
                live.stored = 0
                self._waiting[live] = None
                self._wake.set()

    def _give_up(self, turns: list[LiveTurn], error: Exception) -> None:
        if not self._away:
            log.warning("replay.away", error=type(error).__name__)
        self._away = True
        for live in (*turns, *self._waiting):
            self._waiting[live] = None
            live.show()
        self._wake.set()
