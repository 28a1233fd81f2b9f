"""Requests and deltas survive the journey between processes, and hostile payloads are refused."""

from dataclasses import replace
from typing import Any

import pytest

from domain.answer_form import AnswerForm, form_of
from domain.errors import InvalidInput
from domain.generation import Delta, FinishReason, GenerationRequest, PromptMessage, Usage
from domain.generation_codec import decode_delta, decode_request, encode_delta, encode_request

REQUEST = GenerationRequest(
    "turn-1", "m", (PromptMessage("system", "Be kind."), PromptMessage("user", "Zażółć 👋")), 32, 0.7, ("END",)
)


@pytest.mark.parametrize("form", [None, form_of(), form_of({"type": "object"}, "thing", strict=True)], ids=str)
def test_a_request_comes_back_as_it_was(form: AnswerForm | None) -> None:
    request = replace(REQUEST, form=form)
    assert decode_request(encode_request(request)) == request


@pytest.mark.parametrize(
    "delta", [Delta("a", 1), Delta(""), Delta("z", 2, FinishReason.LENGTH, Usage(10, 2, 8))], ids=str
)
def test_a_delta_comes_back_as_it_was(delta: Delta) -> None:
    assert decode_delta(encode_delta(delta)) == delta


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": [["user"]]},
        {"messages": [["tool", "x"]]},
        {"messages": None},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"temperature": float("nan")},
        {"temperature": 3},
        {"stop": 5},
        {"form": 5},
        {"form": ["", "x"]},
    ],
    ids=str,
)
def test_a_payload_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        decode_request(encode_request(REQUEST) | change)


@pytest.mark.parametrize("payload", [None, [], "x", 5, {}], ids=str)
def test_something_else_entirely_is_refused(payload: Any) -> None:
    with pytest.raises(InvalidInput):
        decode_request(payload)
