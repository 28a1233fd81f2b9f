"""Reads one partition of the event log for a group, alone and in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.lock import Lock
from redis.exceptions import RedisError, ResponseError

from domain.events import OutboxEvent

log = structlog.get_logger(__name__)

EVENT_FIELD = "event"
Handler = Callable[[Sequence[OutboxEvent]], Awaitable[None]]
"""Takes the events that wait, in order. When it raises, they come again, one by one: it must know what it has done."""


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    lock_seconds: float = 10.0
    """How long a partition of a dead reader stays unread."""
    block_seconds: float = 3.0
    """Longest wait of one read; below the client's socket timeout."""
    batch: int = 64
    attempts: int = 6
    """Tries of an event whose handler fails, before it is set aside."""
    retry_seconds: float = 0.5
    """Pause after the first failure; it doubles up to `retry_most_seconds`."""
    retry_most_seconds: float = 15.0
    dead_length: int = 10_000
    """Events kept in the dead stream, about."""


class PartitionReader:
    """The client must answer in `str`, as `connect_redis` makes it."""

    def __init__(
        self,
        redis: Redis,
        *,
        key: str,
        dead_key: str,
        group: str,
        consumer: str,
        handler: Handler,
        decode: Callable[[str], OutboxEvent],
        transient: tuple[type[Exception], ...],
        settings: ReaderSettings,
    ) -> None:
        self._redis = redis
        self._key = key
        self._dead_key = dead_key
        self._failures_key = f"{key}:{group}:failures"
        self._group = group
        self._consumer = consumer
        self._handler = handler
        self._decode = decode
        self._transient = transient
        self._settings = settings
        self._log = log.bind(partition=key, group=group, consumer=consumer)

    async def run(self) -> None:
        """Wait for the partition, read it, and start over after any failure of Redis; ends only by cancellation."""
        failures = 0
        while True:
            lock: Lock = self._redis.lock(
                f"{self._key}:{self._group}:reader", timeout=self._settings.lock_seconds, thread_local=False
            )
            try:
                if await lock.acquire(blocking=False):
                    failures = 0
                    await self._hold(lock)
            except (RedisError, OSError) as error:
                failures += 1
                self._log.warning("events_interrupted", error=type(error).__name__, detail=str(error))
            await asyncio.sleep(self._pause(failures) if failures else self._settings.lock_seconds / 4)

    async def _hold(self, lock: Lock) -> None:
        """Read for as long as the lock can be renewed in time."""
        renew = self._settings.lock_seconds / 3
        reading = asyncio.create_task(self._read())
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=renew)
                if not reading.done():
                    async with asyncio.timeout(renew):
                        await lock.reacquire()
            reading.result()
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            with suppress(RedisError, OSError):
                async with asyncio.timeout(renew):
                    await lock.release()

    async def _read(self) -> None:
        # What is delivered and not acknowledged always comes first, whoever it was delivered to: nobody else reads
        # this partition, and a delivery whose answer was lost on the way must not be overtaken by the next one.
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while True:
            try:
                _, entries, lost = await self._redis.xautoclaim(
                    self._key, self._group, self._consumer, min_idle_time=0, count=self._settings.batch
                )
                if lost:
                    self._log.error("events_trimmed_before_handled", count=len(lost))
                await self._handle(await self._readable(entries))
                if task.cancelling():  # a handler may have swallowed it
                    return
                if not entries:
                    await self._redis.xreadgroup(
                        self._group,
                        self._consumer,
                        {self._key: ">"},
                        count=self._settings.batch,
                        block=round(self._settings.block_seconds * 1000),
                    )
            except ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
                await self._create_group()

    async def _create_group(self) -> None:
        """On first use, and again after the server lost its data."""
        try:
            await self._redis.xgroup_create(self._key, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _readable(self, entries: Sequence[tuple[str, dict[str, str]]]) -> list[tuple[str, str, OutboxEvent]]:
        """Entry, raw text and event; what nobody can read is set aside."""
        found = []
        for entry, fields in entries:
            raw = fields.get(EVENT_FIELD, "")
            try:
                found.append((entry, raw, self._decode(raw)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._log.error("event_unreadable", entry=entry, error=type(error).__name__)
                await self._set_aside(entry, raw, error)
        return found

    async def _handle(self, batch: Sequence[tuple[str, str, OutboxEvent]]) -> None:
        """Together, or one by one when one of them may be what fails; ends when each is done or set aside."""
        if not batch:
            return
        task = cast("asyncio.Task[None]", asyncio.current_task())
        delays = 0
        first = batch[0][2]
        while True:
            try:
                await self._handler([event for _, _, event in batch])
            except self._transient as error:
                delays += 1
                self._log.warning("event_delayed", event_id=first.id, kind=first.kind, error=type(error).__name__)
                await asyncio.sleep(self._pause(delays))
            except Exception as error:  # noqa: BLE001 - a handler may fail in any way
                if len(batch) > 1:
                    for one in batch:
                        await self._handle([one])
                        if task.cancelling():
                            return
                    return
                # Counted where the next reader finds it: an event that costs its reader the lock gets no more tries.
                entry, raw, _ = batch[0]
                failures = int(await self._redis.hincrby(self._failures_key, entry, 1))
                self._log.exception("event_failed", event_id=first.id, kind=first.kind, attempt=failures)
                if failures >= self._settings.attempts:
                    await self._set_aside(entry, raw, error)
                    return
                await asyncio.sleep(self._pause(failures))
            else:
                await self._finish(self._redis.pipeline(transaction=True), [entry for entry, _, _ in batch])
                return

    async def _set_aside(self, entry: str, raw: str, error: Exception) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xadd(
            self._dead_key,
            {EVENT_FIELD: raw, "group": self._group, "from": self._key, "error": type(error).__name__},
            maxlen=self._settings.dead_length,
            approximate=True,
        )
        await self._finish(pipeline, [entry])

    async def _finish(self, pipeline: Pipeline, entries: Sequence[str]) -> None:
        async with pipeline:
            pipeline.xack(self._key, self._group, *entries)
            pipeline.hdel(self._failures_key, *entries)
            await pipeline.execute()

    def _pause(self, failures: int) -> float:
        exponent = min(failures - 1, 16)
        return min(self._settings.retry_seconds * 2.0**exponent, self._settings.retry_most_seconds)
