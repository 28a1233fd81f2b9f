"""Domain events on Redis Streams: delivered at least once, in order per aggregate, to each group of consumers."""

import asyncio
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from domain.errors import Unavailable
from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId
from storage.redis.partition_reader import EVENT_FIELD, Handler, PartitionReader, ReaderSettings

STREAM = "events"
"""Where the outbox relay appends."""


@dataclass(frozen=True, slots=True)
class EventLogSettings:
    partitions: int = 4
    """Streams that the aggregates are spread over; changing it breaks the order of what is not handled yet."""
    max_length: int = 100_000
    """Entries kept per partition, about: the outbox in PostgreSQL is the archive."""
    reader: ReaderSettings = field(default_factory=ReaderSettings)


class EventLog:
    """Partition `n` of a stream is the key `<stream>:<n>`; an aggregate always lands in the same one."""

    def __init__(
        self,
        redis: Redis,
        settings: EventLogSettings | None = None,
        *,
        transient: tuple[type[Exception], ...] = (),
    ) -> None:
        """`transient` are errors of a handler, beside Unavailable and lost connections, that say nothing about
        the event: it is retried for as long as they last."""
        self._redis = redis
        self._settings = settings or EventLogSettings()
        self._transient = (
            Unavailable,
            ConnectionError,
            TimeoutError,
            RedisConnectionError,
            RedisTimeoutError,
            *transient,
        )

    async def was_emptied(self, stream: str) -> bool:
        """Whether the server has lost what was appended, or never had anything: until `begin`. Raises RedisError."""
        return not await self._redis.exists(f"{stream}:begun")

    async def begin(self, stream: str) -> None:
        """From here on a loss is noticed. Raises RedisError."""
        await self._redis.set(f"{stream}:begun", 1)

    async def append(self, stream: str, events: Sequence[OutboxEvent]) -> None:
        """Append all or none, in the given order. Raises RedisError; a repeat after it may append twice."""
        if not events:
            return
        async with self._redis.pipeline(transaction=True) as pipeline:
            for event in events:
                pipeline.xadd(
                    self._key(stream, event.aggregate),
                    {EVENT_FIELD: event_to_json(event)},
                    maxlen=self._settings.max_length,
                    approximate=True,
                )
            await pipeline.execute()

    async def consume(self, group: str, consumer: str, handler: Handler, *, stream: str = STREAM) -> None:
        """Hand every event to `handler`, those that wait together, until cancelled.

        A group sees each event from the oldest one kept. Within it one consumer at a time reads a partition; the
        others stand by. `consumer` is a stable name of this process. An event is done when the handler returns.
        It may come again after a crash: handlers remember the ids they have handled. A failing event is tried
        again in its place, then set aside in `<stream>:dead` so that those behind it go on.
        """
        async with asyncio.TaskGroup() as partitions:
            for number in range(self._settings.partitions):
                reader = PartitionReader(
                    self._redis,
                    key=f"{stream}:{number}",
                    dead_key=f"{stream}:dead",
                    group=group,
                    consumer=consumer,
                    handler=handler,
                    decode=event_of_json,
                    transient=self._transient,
                    settings=self._settings.reader,
                )
                partitions.create_task(reader.run())

    def _key(self, stream: str, aggregate: str) -> str:
        return f"{stream}:{zlib.crc32(aggregate.encode()) % self._settings.partitions}"


def event_to_json(event: OutboxEvent) -> str:
    return json.dumps(
        {
            "id": event.id,
            "tenant_id": str(event.tenant_id),
            "kind": event.kind.value,
            "aggregate": event.aggregate,
            "payload": event.payload,
            "created_at": event.created_at.isoformat(),
        },
        separators=(",", ":"),
    )


def event_of_json(text: str) -> OutboxEvent:
    """Raises ValueError, KeyError or TypeError for anything that `event_to_json` did not write."""
    fields: dict[str, Any] = json.loads(text)
    return OutboxEvent(
        id=int(fields["id"]),
        tenant_id=TenantId(UUID(fields["tenant_id"])),
        kind=EventKind(fields["kind"]),
        aggregate=str(fields["aggregate"]),
        payload=dict(fields["payload"]),
        created_at=datetime.fromisoformat(fields["created_at"]),
    )
