"""The numbering of a turn's events, as the Python client checks it."""

from typing import Any

import pytest

from cluster.client.readings import Readings
from cluster.client.turn_view import TurnView

TURN = "018f0000-0000-7000-8000-000000000001"


def event(seq: int, kind: str = "token", epoch: int = 1, **fields: Any) -> dict[str, Any]:
    frame = {"type": kind, "turn_id": TURN, "epoch": epoch, "seq": seq, **fields}
    return frame if kind != "token" else {"text": f"{seq} ", **frame}


def done(seq: int, epoch: int = 1) -> dict[str, Any]:
    return event(seq, "done", epoch, message_id="m", state="completed", model="x", usage={})


def read(*frames: dict[str, Any], resumed: TurnView | None = None) -> tuple[TurnView, list[str]]:
    readings, wrong = Readings(resumed), []
    for frame in frames:
        view, violation = readings.take(frame)
        if violation is not None:
            wrong.append(violation.reason)
    return view, wrong


def test_a_whole_turn() -> None:
    view, wrong = read(
        event(1, "status", stage="queued", position=3),
        event(2, "status", stage="generating"),
        event(3),
        event(6, first_seq=4, text="4 5 6 "),
        event(7, "citations", citations=[{"position": 1}]),
        done(8),
    )
    assert not wrong
    assert (view.text, view.seq, view.stage, view.position) == ("3 4 5 6 ", 8, "generating", None)
    assert view.citations == [{"position": 1}]
    assert view.ended


@pytest.mark.parametrize(
    "frames",
    [
        [event(2)],
        [event(1), event(3)],
        [event(1), event(4, first_seq=3)],
        [event(1), event(1)],
        [event(1), event(2), event(3, first_seq=2)],
        [event(1), event(2, first_seq=3)],
        [event(1, epoch=2), event(2, epoch=1)],
        [event(1), done(2), event(3)],
        [event(1), event(2), event(2, "gap", text="1 2 ")],
    ],
)
def test_what_is_out_of_order_is_a_violation(frames: list[dict[str, Any]]) -> None:
    _, wrong = read(*frames)
    assert len(wrong) == 1


def test_after_a_violation_nothing_is_shown_twice_and_the_turn_goes_on() -> None:
    view, wrong = read(event(1), event(1), event(3), event(4), done(5), event(6))
    assert len(wrong) == 3
    assert (view.text, view.seq) == ("1 3 4 ", 5)


def test_another_process_goes_on_with_the_numbers() -> None:
    view, wrong = read(event(1, epoch=1), event(2, epoch=4), done(3, epoch=4))
    assert not wrong
    assert (view.text, view.epoch) == ("1 2 ", 4)


def test_a_gap_replaces_the_text_so_far() -> None:
    view, wrong = read(event(1), event(2), event(9, "gap", text="all of it"), event(10))
    assert not wrong
    assert view.text == "all of it10 "


def test_a_process_that_takes_over_may_have_kept_less() -> None:
    view, wrong = read(event(1), event(2), event(3), event(2, "gap", epoch=2, text="1 2 "), event(3, epoch=2, text="x"))
    assert not wrong
    assert (view.text, view.seq, view.epoch) == ("1 2 x", 3, 2)


def test_a_resumed_turn_goes_on_after_what_the_client_has() -> None:
    had = TurnView(TURN, seq=5, epoch=1, text="so far ")
    view, wrong = read(event(6), resumed=had)
    assert not wrong
    assert view.text == "so far 6 "
    assert had.text == "so far "
    _, wrong = read(event(1), resumed=had)
    assert wrong


def test_a_turn_comes_again_only_after_its_question_was_sent_again() -> None:
    readings = Readings()
    for frame in (event(1), event(2)):
        readings.take(frame)
    readings.begin_again(TURN)
    view, violation = readings.take(event(1))
    assert violation is None
    assert view.text == "1 "
    assert readings.take(event(1))[1] is not None


def test_a_question_sent_again_may_also_just_go_on() -> None:
    readings = Readings()
    readings.take(event(1))
    readings.begin_again(TURN)
    view, violation = readings.take(event(2))
    assert violation is None
    assert view.text == "1 2 "
