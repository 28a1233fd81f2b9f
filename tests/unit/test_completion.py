"""An answer that was asked for as JSON: what comes as content, what as a refusal, and what was cut off."""

import json
from typing import Any

import pytest

from deployments.gateway.openai_api.completion import Completion

ACK = {"k": "ack", "turn": "t-1"}


def completion(*pieces: str, json_only: bool = True, **done: Any) -> tuple[Completion, list[dict[str, Any]]]:
    """With the deltas of its chunks."""
    made = Completion("bot", ACK, json_only=json_only)
    deltas = []
    for piece in pieces:
        chunk = made.text_chunk(made.take({"k": "token", "text": piece}))
        deltas.append(json.loads(chunk.removeprefix("data: "))["choices"][0]["delta"])
    made.take({"k": "done", "state": "completed", "guard": None, "usage": [3, 2, 0]} | done)
    return made, deltas


def choice(made: Completion) -> dict[str, Any]:
    found: dict[str, Any] = made.whole()["choices"][0]
    return found


def test_json_is_content() -> None:
    made, deltas = completion("\n", '{"a": ', "1}")
    assert choice(made)["message"] == {"role": "assistant", "content": '\n{"a": 1}', "refusal": None}
    assert choice(made)["finish_reason"] == "stop"
    assert deltas == [{"content": "\n"}, {"content": '{"a": '}, {"content": "1}"}]


def test_words_of_the_chatbots_own_are_a_refusal() -> None:
    made, deltas = completion("Not in the ", "documents.")
    assert choice(made)["message"] == {"role": "assistant", "content": None, "refusal": "Not in the documents."}
    assert choice(made)["finish_reason"] == "stop"
    assert deltas == [{"refusal": "Not in the "}, {"refusal": "documents."}]


def test_json_without_its_end_was_cut_off() -> None:
    made, _ = completion('{"a": [1, 2')
    assert choice(made)["finish_reason"] == "length"


@pytest.mark.parametrize("pieces", [("I cannot say.",), ('{"a": 1', "\n\nI cannot say.")])
def test_what_a_check_blocked_is_told_as_such(pieces: tuple[str, ...]) -> None:
    made, _ = completion(*pieces, guard="blocked")
    assert choice(made)["finish_reason"] == "content_filter"


def test_text_stays_content_where_text_was_asked_for() -> None:
    made, deltas = completion("Twelve months.", json_only=False)
    assert choice(made)["message"]["content"] == "Twelve months."
    assert choice(made)["finish_reason"] == "stop"
    assert deltas == [{"content": "Twelve months."}]
