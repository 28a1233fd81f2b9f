"""The events of running turns on Redis Streams, sealed, so that another process can go on where one died."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from domain.errors import Unreadable
from domain.ids import TurnId
from domain.sealing import events_place
from storage.keys import TenantCipher

Event = dict[str, Any]

MAX_ENTRIES = 10_000
"""Entries kept per turn, about; one entry holds all events of one write."""
RUNNING_SECONDS = 3_600
ENDED_SECONDS = 60
"""How long the events of an ended turn stay, for readers that come back; PostgreSQL has the answer."""
_FIELD = "e"


@dataclass(frozen=True, slots=True)
class TurnWrite:
    """Events of one turn that follow on each other; `first` says that nothing was written before them."""

    cipher: TenantCipher
    turn_id: TurnId
    epoch: int
    events: Sequence[Event]
    first: bool
    ended: bool


class TurnEvents:
    """One stream per turn and epoch, `replay:<tenant>:<turn>:<epoch>`; an entry's id is the number of its last event.

    A process that takes a turn over writes all of it again in a stream of its own: what a stale one still writes
    reaches nobody. The client must answer in bytes.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def append(self, writes: Sequence[TurnWrite]) -> list[bool]:
        """Append all writes in one round trip; False for a turn whose earlier events are lost: write them all again.

        Repeating a write is harmless. Raises RedisError.
        """
        pipeline = self._redis.pipeline(transaction=False)
        places = []
        for write in writes:
            key, entry = _key(write.cipher, write.turn_id, write.epoch), f"{write.events[-1]['seq']}-0"
            places.append(len(pipeline.command_stack))
            sealed = write.cipher.seal(
                events_place(write.turn_id, write.epoch, entry), msgpack.packb(list(write.events))
            )
            pipeline.xadd(
                key,
                {_FIELD: sealed},
                id=entry,
                maxlen=MAX_ENTRIES,
                approximate=True,
                nomkstream=not write.first,
            )
            if write.ended or write.first:
                pipeline.expire(key, ENDED_SECONDS if write.ended else RUNNING_SECONDS)
        answers = await pipeline.execute(raise_on_error=False)
        return [_is_kept(answers[place]) for place in places]

    async def read(self, cipher: TenantCipher, turn_id: TurnId, epoch: int) -> list[Event]:
        """The events from the first one on, without gaps; empty when the beginning is not kept. Raises RedisError.

        What does not open counts as not kept.
        """
        entries: Any = await self._redis.xrange(_key(cipher, turn_id, epoch))
        events: list[Event] = []
        for entry, fields in entries:
            try:
                packed = cipher.open(events_place(turn_id, epoch, entry.decode()), fields[_FIELD.encode()])
            except Unreadable:
                break
            for event in msgpack.unpackb(packed):
                # A write that was repeated holds events that an earlier entry has.
                if event["seq"] == len(events) + 1:
                    events.append(event)
        return events


def _is_kept(answer: Any) -> bool:
    """Whether the stream has the write: an id that is not above the last one says that it came before."""
    if isinstance(answer, ResponseError):
        if "equal or smaller" in str(answer):
            return True
        raise answer
    if isinstance(answer, Exception):
        raise answer
    return answer is not None


def _key(cipher: TenantCipher, turn_id: TurnId, epoch: int) -> str:
    return f"replay:{cipher.tenant_id}:{turn_id}:{epoch}"
