"""The queue of a socket: order, merging, and a bound in time."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from deployments.gateway import send_queue
from deployments.gateway.send_queue import MAX_ENTRIES, SendQueue, SlowReader

TURN = str(uuid4())


def token(seq: int, text: str = "x") -> dict[str, Any]:
    return {"k": "token", "turn": TURN, "epoch": 1, "seq": seq, "text": text}


def woken() -> None:
    """Nobody sends by itself here."""


def nothing() -> None:
    """Nobody takes what is put, until the test does."""


async def test_tokens_that_wait_leave_as_one_frame() -> None:
    queue = SendQueue("r", 1, woken)
    await queue.put("first")
    for seq in range(1, 1_001):
        await queue.put(token(seq))
    await queue.put("last")
    first, tokens, last = queue.take()
    assert (first, last) == ("first", "last")
    frame = json.loads(tokens)
    assert (frame["first_seq"], frame["seq"], len(frame["text"])) == (1, 1_000, 1_000)


async def test_a_full_queue_waits_and_then_gives_up() -> None:
    queue = SendQueue("r", 0.05, woken)
    for _ in range(MAX_ENTRIES):
        await queue.put("frame")
    with pytest.raises(SlowReader):
        await queue.put("one more")
    waiting = asyncio.create_task(SendQueue.put(queue, "one more"))
    queue.take()
    await waiting


async def test_large_texts_fill_the_queue_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "MAX_CHARS", 10_000)
    queue = SendQueue("r", 0.05, woken)
    await queue.put(token(1, "x" * 20_000))
    with pytest.raises(SlowReader):
        await queue.put(token(2))


async def test_drained_waits_until_all_is_sent() -> None:
    queue = SendQueue("r", 1, woken)
    await queue.drained(sending=False)
    await queue.put("frame")
    drained = asyncio.create_task(queue.drained(sending=False))
    await asyncio.sleep(0)
    queue.take()
    await asyncio.sleep(0)
    assert not drained.done()
    queue.sent()
    await drained


async def test_every_entry_wakes_the_sender_and_an_empty_queue_has_nothing_for_it() -> None:
    calls: list[None] = []
    queue = SendQueue("r", 1, lambda: calls.append(None))
    assert queue.take() == []
    await queue.put(token(1))
    await queue.put(token(2))  # joins the first
    queue.put_now("pong")
    assert len(calls) == 2
    assert len(queue.take()) == 2
    assert queue.take() == []


async def test_answers_to_the_client_do_not_wait_but_end() -> None:
    queue = SendQueue("r", 1, woken)
    for _ in range(2 * MAX_ENTRIES):
        queue.put_now("pong")
    with pytest.raises(SlowReader):
        queue.put_now("pong")


async def test_tokens_of_another_epoch_are_another_frame() -> None:
    queue = SendQueue("r", 1, woken)
    await queue.put(token(1))
    await queue.put({**token(2), "epoch": 2})
    assert [json.loads(frame)["epoch"] for frame in queue.take()] == [1, 2]
