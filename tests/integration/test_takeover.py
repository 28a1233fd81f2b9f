"""Turns across processes: those of a dead host go on or are kept, a stale host commits nothing."""

from uuid import UUID

import pytest

from domain.answer_form import form_of
from domain.conversation import Question
from domain.errors import (
    StaleEpoch,
    Unavailable,
)
from domain.ids import TurnId
from tests.fixtures.desk import Desk, collect, text_of, until


async def test_a_resend_streams_the_first_turn_also_after_passivation(desk: Desk) -> None:
    actor = await desk.activate()
    first = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    again = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert again[0]["duplicate"]
    assert again[1:] == first[1:]
    later = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    assert later[0]["turn"] == first[0]["turn"]
    assert text_of(later) == text_of(first)
    assert later[-1]["usage"] == first[-1]["usage"]
    assert len(await desk.rows("messages")) == 2


async def test_a_stale_actor_can_neither_accept_nor_complete(desk: Desk) -> None:
    desk.generator.hang_after = 2
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("forty "))
    turn = TurnId(UUID(seen[0]["turn"]))
    new = await desk.activate()
    assert desk.recovered == 1
    # What was shown is kept and billed by the process that took over; the old one only lets go.
    rest = await collect(new.follow(desk.session, turn, seen[-1]["seq"], seen[-1]["epoch"]))
    assert [(event["k"], event.get("state")) for event in rest] == [("done", "interrupted")]
    desk.generator.hang_after = None
    with pytest.raises(StaleEpoch):
        await collect(old.submit(desk.session, Question("c2", "again")))
    await old.stop(desk.session, None)
    with pytest.raises(Unavailable):
        await collect(running)
    [row] = await desk.rows("turns")
    assert (row["state"], row["epoch"]) == ("interrupted", new.epoch)
    assert [entry["completion_tokens"] for entry in await desk.rows("usage_ledger")] == [2]
    assert (await collect(new.submit(desk.session, Question("c3", "again"))))[-1]["k"] == "done"


async def test_a_turn_with_a_form_is_not_run_again_as_text(desk: Desk) -> None:
    desk.generator.hang_after = 0
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?", form=form_of()))
    seen = await until(running, lambda event: event["k"] == "status" and event["stage"] == "generating")
    assert desk.generator.requests[-1].form == form_of()
    desk.generator.hang_after = None
    new = await desk.activate()
    rest = await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"], seen[-1]["epoch"]))
    assert (rest[-1]["k"], rest[-1]["code"]) == ("error", "engine_failed")
    assert len(desk.generator.requests) == 1


async def test_a_turn_that_showed_nothing_runs_again_elsewhere(desk: Desk) -> None:
    desk.generator.hang_after = 0
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "status")
    desk.generator.hang_after = None
    new = await desk.activate()
    rest = await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"], seen[-1]["epoch"]))
    assert text_of(rest) == "It costs forty euros."
    assert [event["seq"] for event in rest] == list(range(seen[-1]["seq"] + 1, rest[-1]["seq"] + 1))
    assert [row["state"] for row in await desk.rows("turns")] == ["completed"]
    assert len(await desk.rows("usage_ledger")) == 1
    await old.close()


async def test_a_setting_closes_turns_of_a_dead_process_instead(desk: Desk) -> None:
    desk.generator.hang_after = 0
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "status")
    new = await desk.activate(restart_orphans=False)
    end = (await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"])))[-1]
    assert (end["k"], end["code"]) == ("error", "engine_failed")
    assert [row["role"] for row in await desk.rows("messages")] == ["user"]
    await old.close()


async def test_a_late_reader_gets_the_rest_of_the_events(desk: Desk) -> None:
    events = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    turn = TurnId(UUID(events[0]["turn"]))
    later = await collect((await desk.activate()).follow(desk.session, turn, 3, events[3]["epoch"]))
    assert later == events[4:]


async def test_once_the_events_are_gone_a_late_reader_gets_the_answer_in_their_place(desk: Desk) -> None:
    events = await collect((await desk.activate()).submit(desk.session, Question("c1", "What does the lamp cost?")))
    turn = TurnId(UUID(events[0]["turn"]))
    await desk.flush()
    later = await collect((await desk.activate()).follow(desk.session, turn, 3))
    assert [(event["k"], event["seq"]) for event in later] == [("gap", 4), ("citations", 5), ("done", 6)]
    assert later[0]["text"] == text_of(events)


async def test_a_turn_whose_end_is_known_cannot_be_stopped(desk: Desk) -> None:
    desk.generator.hang_after = 2
    old = await desk.activate()
    running = old.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("forty "))
    new = await desk.activate()
    # The first step of the task that commits the end may not have come yet.
    await new.stop(desk.session, None)
    rest = await collect(new.follow(desk.session, TurnId(UUID(seen[0]["turn"])), seen[-1]["seq"], seen[-1]["epoch"]))
    assert [(event["k"], event.get("state")) for event in rest] == [("done", "interrupted")]
    await old.close()


async def test_what_a_dead_host_showed_outlives_the_next_host_too(desk: Desk) -> None:
    desk.generator.hang_after = 2
    first = await desk.activate()
    running = first.submit(desk.session, Question("c1", "What does the lamp cost?"))
    seen = await until(running, lambda event: event["k"] == "token" and event["text"].endswith("forty "))
    turn = TurnId(UUID(seen[0]["turn"]))
    second = await desk.activate()
    await second.close()
    third = await desk.activate()
    rest = await collect(third.follow(desk.session, turn, 0))
    assert text_of(rest) == text_of(seen)
    assert (rest[-1]["k"], rest[-1]["state"]) == ("done", "interrupted")
    await first.close()


async def test_a_stop_before_the_first_step_ends_the_turn(desk: Desk) -> None:
    desk.generator.hang_after = 1
    actor = await desk.activate()
    running = actor.submit(desk.session, Question("c1", "What does the lamp cost?"))
    await anext(running)
    assert await actor.stop(desk.session, None)
    assert (await collect(running))[-1]["state"] == "stopped"
