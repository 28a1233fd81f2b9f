"""Events become frames of the protocol, whatever is in their text."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.frames import error_frame, frame_of, merged, pong_frame, ready_frame
from domain.errors import RateLimited
from domain.wire import ErrorFrame, TokenFrame, server_frame

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
    {"k": "ack", "turn": TURN, "seq": 0, "message_id": TURN, "client_id": "c", "duplicate": True},
    {"k": "status", "turn": TURN, "seq": 1, "stage": "retrieving"},
    {"k": "token", "turn": TURN, "seq": 2, "text": "Hi"},
    {"k": "citations", "turn": TURN, "seq": 3, "citations": [CITATION]},
    {
        "k": "done",
        "turn": TURN,
        "seq": 4,
        "message_id": TURN,
        "state": "stopped",
        "model": "m",
        "usage": [5, 6, 1],
    },
    {"k": "error", "turn": TURN, "seq": 4, "code": "engine_failed", "message": "Sorry."},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["k"])
def test_every_event_has_a_frame_of_the_protocol(event: dict[str, Any]) -> None:
    frame = server_frame.validate_json(frame_of(event, "request-1"))
    assert frame.type == event["k"]
    assert json.loads(frame.model_dump_json(exclude_defaults=False))["type"] == event["k"]


def test_usage_is_named_and_summed() -> None:
    usage = json.loads(frame_of(EVENTS[4], ""))["usage"]
    assert usage == {"prompt_tokens": 5, "completion_tokens": 6, "cached_tokens": 1, "total_tokens": 11}


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="dance"):
        frame_of({"k": "dance", "turn": TURN, "seq": 1}, "")


@given(st.text(), st.integers(min_value=1, max_value=10**9))
def test_token_frames_carry_any_text(text: str, seq: int) -> None:
    frame = server_frame.validate_json(frame_of({"k": "token", "turn": TURN, "seq": seq, "text": text}, ""))
    assert isinstance(frame, TokenFrame)
    assert (frame.text, frame.seq, frame.first_seq, str(frame.turn_id)) == (text, seq, None, TURN)


def test_tokens_merge_within_their_turn_only() -> None:
    def token(seq: int, turn: str = TURN) -> dict[str, Any]:
        return {"k": "token", "turn": turn, "seq": seq, "text": f"{seq} "}

    two = merged(token(3), token(4))
    assert two is not None
    three = merged(two, token(5))
    assert three is not None
    frame = json.loads(frame_of(three, ""))
    assert (frame["first_seq"], frame["seq"], frame["text"]) == (3, 5, "3 4 5 ")
    assert merged(token(3), token(4, str(uuid4()))) is None
    assert merged(EVENTS[1], token(3)) is None
    assert merged(token(3), EVENTS[3]) is None


def test_frames_of_the_socket_itself() -> None:
    info = {"chatbot_id": TURN, "chatbot_name": "B", "greeting": "Hi", "active_turn": {"turn_id": TURN, "seq": 4}}
    for text in (ready_frame(info, TURN), ready_frame({**info, "active_turn": None}, TURN), pong_frame("n")):
        server_frame.validate_json(text)
    error = ErrorFrame.model_validate_json(error_frame(RateLimited(retry_after=2), "r", message_id="m", turn_id=TURN))
    assert (error.code, error.id, str(error.turn_id), error.retry_after) == ("rate_limited", "m", TURN, 2)
