"""The numbered events of a turn: shown once stored, corrected for readers that have those of a dead process."""

import asyncio
from uuid import uuid4

import pytest

from actors.live_turn import Event, LiveTurn
from domain.errors import InvalidInput, Unavailable
from domain.ids import SessionId, TenantId, TurnId, new_uuid


def turn(epoch: int = 1, earlier: tuple[Event, ...] = ()) -> LiveTurn:
    """Shows nothing by itself."""
    return LiveTurn(TenantId(uuid4()), TurnId(new_uuid()), SessionId(uuid4()), epoch, lambda _: None, earlier)


async def follow(live: LiveTurn, after: int, epoch: int | None = None) -> list[Event]:
    return [event async for event in live.follow(after, epoch)]


async def test_events_are_shown_when_they_are_stored_and_tokens_merge_until_then() -> None:
    live = turn()
    live.publish("token", text="a", n=1)
    live.publish("token", text="b", n=1)
    reader = asyncio.create_task(follow(live, 0))
    await asyncio.sleep(0)
    assert live.seq == 0
    stored = live.take()
    live.publish("token", text="c", n=1)
    live.show(len(stored))
    live.end("done")
    live.take()
    live.show(3)
    assert [(event["seq"], event.get("text")) for event in await reader] == [(1, "ab"), (2, "c"), (3, None)]


async def test_a_number_to_come_is_refused() -> None:
    live = turn(epoch=2)
    for epoch in (None, 2, 3):
        with pytest.raises(InvalidInput):
            await follow(live, 1, epoch)


async def test_a_reader_ahead_of_a_turn_that_began_anew_gets_a_gap() -> None:
    live = turn(epoch=2)
    reader = asyncio.create_task(follow(live, 9, 1))
    await asyncio.sleep(0)
    live.publish("token", text="new", n=1)
    live.take()
    live.show(1)
    await asyncio.sleep(0)
    live.end("done")
    live.take()
    live.show(2)
    assert [(event["k"], event["seq"], event["epoch"]) for event in await reader] == [("gap", 1, 2), ("done", 2, 2)]


@pytest.mark.parametrize("after", [2, 3, 9])
async def test_a_gap_leaves_the_end_of_the_turn_out(after: int) -> None:
    live = turn(epoch=2)
    live.publish("status", stage="generating")
    live.publish("token", text="new", n=1)
    live.publish("citations", citations=[])
    live.end("done")
    live.take()
    live.show(4)
    assert [(event["k"], event["seq"]) for event in await follow(live, after, 1)] == [
        ("gap", 2),
        ("citations", 3),
        ("done", 4),
    ]


async def test_a_turn_that_is_nothing_but_an_error_still_corrects_the_reader() -> None:
    live = turn(epoch=2)
    live.end("error", code="engine_failed")
    live.take()
    live.show(1)
    assert [(event["k"], event["seq"]) for event in await follow(live, 9, 1)] == [("gap", 0), ("error", 1)]


async def test_followers_of_an_abandoned_turn_are_sent_away() -> None:
    live = turn(epoch=2)
    readers = [asyncio.create_task(follow(live, after, epoch)) for after, epoch in ((0, None), (9, 1))]
    await asyncio.sleep(0)
    live.abandon()
    for reader in readers:
        with pytest.raises(Unavailable):
            await reader
