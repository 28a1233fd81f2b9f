"""Events become frames of the protocol, whatever is in their text."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.frames import error_frame, frame_of, merged, pong_frame, ready_frame, reconnect_frame
from domain.errors import RateLimited
from domain.wire import DoneFrame, ErrorFrame, TokenFrame, server_frame

TURN = str(uuid4())
CITATION = {
    "position": 1,
    "document_id": str(uuid4()),
    "document_name": 'a "b".pdf',
    "page": None,
    "section": "Über",
    "start": 0,
    "end": 4,
    "snippet": "text",
}
EVENTS: list[dict[str, Any]] = [
    {"k": "ack", "turn": TURN, "epoch": 3, "seq": 0, "message_id": TURN, "client_id": "c", "duplicate": True},
    {"k": "status", "turn": TURN, "epoch": 3, "seq": 1, "stage": "retrieving"},
    {"k": "status", "turn": TURN, "epoch": 3, "seq": 1, "stage": "queued", "position": 2},
    {"k": "gap", "turn": TURN, "epoch": 3, "seq": 2, "text": "Hi"},
    {"k": "token", "turn": TURN, "epoch": 3, "seq": 2, "text": "Hi"},
    {"k": "citations", "turn": TURN, "epoch": 3, "seq": 3, "citations": [CITATION]},
    {
        "k": "done",
        "turn": TURN,
        "epoch": 3,
        "seq": 4,
        "message_id": TURN,
        "state": "stopped",
        "model": "m",
        "usage": [5, 6, 1],
    },
    {"k": "error", "turn": TURN, "epoch": 3, "seq": 4, "code": "engine_failed", "message": "Sorry."},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["k"])
def test_every_event_has_a_frame_of_the_protocol(event: dict[str, Any]) -> None:
    frame = server_frame.validate_json(frame_of(event, "request-1"))
    assert frame.type == event["k"]
    assert json.loads(frame.model_dump_json(exclude_defaults=False))["type"] == event["k"]


@pytest.mark.parametrize("event", EVENTS[1:], ids=lambda event: event["k"])
def test_every_event_of_a_turn_says_where_it_stands(event: dict[str, Any]) -> None:
    frame = json.loads(frame_of(event, ""))
    assert (frame["turn_id"], frame["epoch"], frame["seq"]) == (TURN, 3, event["seq"])


def test_a_queued_turn_tells_its_place() -> None:
    places = [json.loads(frame_of(event, ""))["position"] for event in EVENTS if event["k"] == "status"]
    assert places == [None, 2]


@pytest.mark.parametrize("state", ["completed", "stopped", "interrupted"])
def test_an_answer_ends_in_one_of_three_ways(state: str) -> None:
    frame = server_frame.validate_json(frame_of({**EVENTS[6], "state": state}, ""))
    assert isinstance(frame, DoneFrame)
    assert frame.state == state


def test_usage_is_named_and_summed() -> None:
    usage = json.loads(frame_of(EVENTS[6], ""))["usage"]
    assert usage == {"prompt_tokens": 5, "completion_tokens": 6, "cached_tokens": 1, "total_tokens": 11}


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="dance"):
        frame_of({"k": "dance", "turn": TURN, "epoch": 3, "seq": 1}, "")


@given(st.text(), st.integers(min_value=1, max_value=10**9))
def test_token_frames_carry_any_text(text: str, seq: int) -> None:
    frame = server_frame.validate_json(frame_of({"k": "token", "turn": TURN, "epoch": 3, "seq": seq, "text": text}, ""))
    assert isinstance(frame, TokenFrame)
    assert (frame.text, frame.seq, frame.first_seq, str(frame.turn_id)) == (text, seq, None, TURN)


def test_tokens_merge_within_their_turn_only() -> None:
    def token(seq: int, turn: str = TURN, epoch: int = 1) -> dict[str, Any]:
        return {"k": "token", "turn": turn, "epoch": epoch, "seq": seq, "text": f"{seq} "}

    two = merged(token(3), token(4))
    assert two is not None
    three = merged(two, token(5))
    assert three is not None
    frame = json.loads(frame_of(three, ""))
    assert (frame["first_seq"], frame["seq"], frame["text"]) == (3, 5, "3 4 5 ")
    assert merged(token(3), token(4, str(uuid4()))) is None
    assert merged(token(3), token(4, epoch=2)) is None
    assert merged(EVENTS[1], token(3)) is None
    assert merged(token(3), token(4, epoch=2)) is None
    assert merged(token(3), EVENTS[5]) is None


def test_frames_of_the_socket_itself() -> None:
    active, late = {"turn_id": TURN, "epoch": 2, "seq": 4}, {"turn_id": TURN, "message_id": TURN}
    info = {"chatbot_id": TURN, "chatbot_name": "B", "greeting": "Hi", "active_turn": active, "undelivered": [late]}
    ready = json.loads(ready_frame(info, TURN))
    assert (ready["active_turn"], ready["undelivered"]) == (active, [late])
    idle = ready_frame({**info, "active_turn": None, "undelivered": []}, TURN)
    for text in (json.dumps(ready), idle, pong_frame("n"), reconnect_frame(5)):
        server_frame.validate_json(text)
    error = ErrorFrame.model_validate_json(error_frame(RateLimited(retry_after=2), "r", message_id="m", turn_id=TURN))
    assert (error.code, error.id, str(error.turn_id), error.retry_after) == ("rate_limited", "m", TURN, 2)
