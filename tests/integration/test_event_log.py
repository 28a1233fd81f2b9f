"""The event log over a real server: order per aggregate, redelivery, one reader at a time, a flushed server."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.errors import Unavailable
from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId
from storage.redis.client import connect_redis
from storage.redis.event_log import STREAM, EventLog, EventLogSettings, event_of_json
from storage.redis.partition_reader import ReaderSettings
from tests.fixtures.conditions import eventually

SETTINGS = EventLogSettings(
    reader=ReaderSettings(lock_seconds=2.0, block_seconds=0.2, attempts=3, retry_seconds=0.01, retry_most_seconds=0.05)
)
Handler = Callable[[OutboxEvent], Awaitable[None]]


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(empty_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def event_log(redis: Redis) -> EventLog:
    return EventLog(redis, SETTINGS)


def event(number: int, aggregate: str = "document:1") -> OutboxEvent:
    return OutboxEvent(
        id=number,
        tenant_id=TenantId(UUID(int=5)),
        kind=EventKind.DOCUMENT_CHANGED,
        aggregate=aggregate,
        payload={"name": "Überblick", "number": number},
        created_at=datetime(2026, 11, 25, 3, 10, tzinfo=UTC),
    )


@asynccontextmanager
async def consuming(event_log: EventLog, consumer: str, handler: Handler, group: str = "g") -> AsyncIterator[None]:
    async def each(events: Sequence[OutboxEvent]) -> None:
        for one in events:
            await handler(one)

    task = asyncio.create_task(event_log.consume(group, consumer, each))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


class Recorder:
    def __init__(self) -> None:
        self.events: list[OutboxEvent] = []

    async def __call__(self, event: OutboxEvent) -> None:
        self.events.append(event)

    @property
    def ids(self) -> list[int]:
        return [event.id for event in self.events]


async def pending(redis: Redis, group: str = "g") -> int:
    counts = [await redis.xpending(f"{STREAM}:{n}", group) for n in range(SETTINGS.partitions)]
    return sum(count["pending"] for count in counts)


async def dead_until(redis: Redis, count: int) -> list[dict[str, str]]:
    async with asyncio.timeout(10):
        while len(dead := await redis.xrange(f"{STREAM}:dead") or []) < count:
            await asyncio.sleep(0.02)
    return [cast("dict[str, str]", fields) for _, fields in dead]


async def test_every_group_gets_every_event_whole(event_log: EventLog, redis: Redis) -> None:
    first, second = Recorder(), Recorder()
    await event_log.append(STREAM, [event(1)])
    async with consuming(event_log, "a", first, "g"), consuming(event_log, "a", second, "h"):
        await event_log.append(STREAM, [event(2), event(3, "session:9")])
        await event_log.append(STREAM, [])
        await eventually(lambda: len(first.events) == len(second.events) == 3)
    assert sorted(first.events, key=lambda one: one.id) == [event(1), event(2), event(3, "session:9")]
    assert await pending(redis) == 0


async def test_order_holds_per_aggregate_when_handlers_fail_and_consumers_change(
    event_log: EventLog, redis: Redis
) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    failed: set[int] = set()

    async def handler(one: OutboxEvent) -> None:
        if one.id % 31 == 0 and one.id not in failed:
            failed.add(one.id)
            raise RuntimeError("the first time always fails")
        if one.id not in seen[one.aggregate]:  # as handlers remember the ids they have handled
            seen[one.aggregate].append(one.id)

    events = [event(number, f"document:{number % 10}") for number in range(300)]
    async with consuming(event_log, "a", handler):
        await event_log.append(STREAM, events[:150])
        await eventually(lambda: sum(map(len, seen.values())) >= 50)
    async with consuming(event_log, "b", handler), consuming(event_log, "c", handler):
        await event_log.append(STREAM, events[150:])
        await eventually(lambda: sum(map(len, seen.values())) == 300)
    for number in range(10):
        assert seen[f"document:{number}"] == list(range(number, 300, 10))
    assert await redis.exists(f"{STREAM}:dead") == 0


async def test_what_a_dead_consumer_left_comes_first(event_log: EventLog, redis: Redis) -> None:
    stuck = asyncio.Event()

    async def hang(one: OutboxEvent) -> None:
        stuck.set()
        await asyncio.Event().wait()

    await event_log.append(STREAM, [event(1), event(2)])
    async with consuming(event_log, "dead", hang):
        await asyncio.wait_for(stuck.wait(), 10)
        assert await pending(redis) == 2
    await event_log.append(STREAM, [event(3)])
    recorder = Recorder()
    async with consuming(event_log, "living", recorder):
        await eventually(lambda: len(recorder.events) == 3)
    assert recorder.ids == [1, 2, 3]


async def test_a_delivery_whose_answer_was_lost_is_not_overtaken(event_log: EventLog, redis: Redis) -> None:
    await event_log.append(STREAM, [event(1), event(2)])
    for number in range(SETTINGS.partitions):
        await redis.xgroup_create(f"{STREAM}:{number}", "g", id="0", mkstream=True)
        await redis.xreadgroup("g", "a", {f"{STREAM}:{number}": ">"}, count=1)
    recorder = Recorder()
    async with consuming(event_log, "a", recorder):
        await eventually(lambda: len(recorder.events) == 2)
    assert recorder.ids == [1, 2]


async def test_one_reader_at_a_time_and_another_takes_over_when_it_loses_the_lock(
    event_log: EventLog, redis: Redis
) -> None:
    running = 0
    most = 0
    recorder = Recorder()

    async def handler(one: OutboxEvent) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        await recorder(one)

    async with consuming(event_log, "a", handler), consuming(event_log, "b", handler):
        for number in range(50):
            await event_log.append(STREAM, [event(number)])
        await eventually(lambda: len(recorder.events) == 50)
        assert (recorder.ids, most) == (list(range(50)), 1)
        keys = [key async for key in redis.scan_iter(f"{STREAM}:*:g:reader")]
        assert len(keys) == SETTINGS.partitions
        await redis.delete(*keys)
        await event_log.append(STREAM, [event(50)])
        await eventually(lambda: 50 in recorder.ids)


async def test_a_flushed_server_gets_its_groups_again(event_log: EventLog, redis: Redis) -> None:
    recorder = Recorder()
    async with consuming(event_log, "a", recorder):
        await event_log.append(STREAM, [event(1)])
        await eventually(lambda: recorder.ids == [1])
        await redis.flushdb()
        await event_log.append(STREAM, [event(2)])
        await eventually(lambda: recorder.ids == [1, 2])


async def test_a_poisonous_event_is_set_aside_and_the_next_go_on(event_log: EventLog, redis: Redis) -> None:
    recorder = Recorder()
    tries = 0

    async def handler(one: OutboxEvent) -> None:
        nonlocal tries
        if one.id == 1:
            tries += 1
            raise KeyError("poison")
        await recorder(one)

    await redis.xadd(f"{STREAM}:0", {"event": "not json"})
    await redis.xadd(f"{STREAM}:1", {"other": "field"})
    await redis.xadd(f"{STREAM}:2", {"event": "[]"})
    await event_log.append(STREAM, [event(1), event(2)])
    async with consuming(event_log, "a", handler):
        await eventually(lambda: recorder.ids == [2])
        dead = await dead_until(redis, 4)
    (poison,) = [fields for fields in dead if fields["error"] == "KeyError" and fields["event"]]
    assert (tries, event_of_json(poison["event"]), poison["group"]) == (4, event(1), "g")  # one try with the next
    assert await pending(redis) == 0
    assert not [key async for key in redis.scan_iter("*:failures")]


async def test_what_waits_comes_together_and_one_by_one_after_a_failure(event_log: EventLog, redis: Redis) -> None:
    batches: list[list[int]] = []
    done: list[int] = []

    async def handler(events: Sequence[OutboxEvent]) -> None:
        batches.append([one.id for one in events])
        if any(one.id == 2 for one in events):
            raise RuntimeError("poison")
        done.extend(one.id for one in events)

    await event_log.append(STREAM, [event(number) for number in range(5)])
    task = asyncio.create_task(event_log.consume("g", "a", handler))
    try:
        await eventually(lambda: len(done) == 4)
        await dead_until(redis, 1)
        await event_log.append(STREAM, [event(5)])
        await eventually(lambda: done == [0, 1, 3, 4, 5])
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert batches == [[0, 1, 2, 3, 4], [0], [1], [2], [2], [2], [3], [4], [5]]
    assert await pending(redis) == 0


async def test_failures_are_counted_across_readers(event_log: EventLog, redis: Redis) -> None:
    tries = 0

    async def handler(one: OutboxEvent) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:  # as if this reader was too slow to renew its lock
            await redis.delete(*[key async for key in redis.scan_iter("*:reader")])
        raise RuntimeError("poison")

    await event_log.append(STREAM, [event(1)])
    async with consuming(event_log, "a", handler), consuming(event_log, "b", handler):
        await dead_until(redis, 1)
    assert tries in (3, 4)  # the old reader may be in its last try when the new one begins


async def test_an_outage_behind_a_handler_is_waited_for(redis: Redis) -> None:
    class DatabaseDown(Exception):
        pass

    recorder = Recorder()
    causes: list[Exception] = [Unavailable(), DatabaseDown(), ConnectionError(), TimeoutError()] * 3

    async def handler(one: OutboxEvent) -> None:
        if causes:
            raise causes.pop()
        await recorder(one)

    event_log = EventLog(redis, SETTINGS, transient=(DatabaseDown,))
    await event_log.append(STREAM, [event(1)])
    async with consuming(event_log, "a", handler):
        await eventually(lambda: recorder.ids == [1])
    assert await redis.exists(f"{STREAM}:dead") == 0


async def test_length_is_bounded(redis: Redis) -> None:
    event_log = EventLog(redis, EventLogSettings(partitions=1, max_length=100))
    for start in range(0, 2_000, 500):
        await event_log.append(STREAM, [event(number) for number in range(start, start + 500)])
    assert 100 <= await redis.xlen(f"{STREAM}:0") <= 300


async def test_entries_trimmed_before_they_were_handled_do_not_stop_the_rest(event_log: EventLog, redis: Redis) -> None:
    await event_log.append(STREAM, [event(1), event(2)])
    for number in range(SETTINGS.partitions):
        key = f"{STREAM}:{number}"
        await redis.xgroup_create(key, "g", id="0", mkstream=True)
        await redis.xreadgroup("g", "dead", {key: ">"})
        await redis.xtrim(key, maxlen=0, approximate=False)
    await event_log.append(STREAM, [event(3)])
    recorder = Recorder()
    async with consuming(event_log, "a", recorder):
        await eventually(lambda: recorder.ids == [3])


async def test_an_emptied_server_is_noticed(event_log: EventLog, redis: Redis) -> None:
    assert await event_log.was_emptied(STREAM)
    await event_log.begin(STREAM)
    assert not await event_log.was_emptied(STREAM)
    await redis.flushdb()
    assert await event_log.was_emptied(STREAM)
