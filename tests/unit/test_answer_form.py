"""The form of an answer: which schemas are taken, how they travel, and what the model is told."""

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.answer_form import AnswerForm, decode_form, encode_form, form_of
from domain.conversation import TurnState
from domain.errors import InvalidInput
from domain.turn import StopSignal, run_turn
from tests.fixtures.twins import TwinGenerator, passage, turn_input, turn_ports

PRICE: dict[str, Any] = {
    "type": "object",
    "properties": {"pattern": {"type": "string", "maxLength": 50}, "euros": {"type": "integer"}},
    "required": ["euros"],
    "additionalProperties": False,
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def repeated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": 10}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "maxItems": 100}
    return {"type": "object", "properties": {"a": schema}}


def test_a_schema_comes_back_as_it_was_also_with_a_keyword_as_a_name() -> None:
    form = form_of(PRICE, "price", strict=True)
    assert form.schema_object == PRICE
    assert decode_form(encode_form(form)) == form
    assert form.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "price", "schema": PRICE, "strict": True},
    }
    assert form_of().response_format == {"type": "json_object"}
    assert decode_form(encode_form(None)) is None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        nested(20),
        repeated(2) | {"properties": {"a": {"type": "array", "maxItems": 1001}}},
        repeated(3),
        {"type": "object", "properties": {"a": {"type": "string", "minLength": -1}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": float("inf")}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a{1000}){1000}"}}},
        {"type": "object", "patternProperties": {"^a+$": {}}},
        {"type": "object", "properties": {"a": {"$ref": "http://10.0.0.1/schema.json"}}},
        {"type": "object", "properties": {"a": {"enum": ["x" * 20_000]}}},
        {"type": "object", "properties": {"a": {"const": float("nan")}}},
        {"type": "object", "properties": {"a": {"const": "\ud800"}}},
        {"type": "object", "properties": {"a": {"const": json.loads("[" * 100 + "]" * 100)}}},
        {"type": "object", "anyOf": [{"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}]},
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_a_schema_that_would_hurt_an_engine_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        form_of(schema)


async def test_the_model_is_told_of_the_form_after_the_question_and_held_to_it() -> None:
    form = form_of(PRICE)
    generator = TwinGenerator({"first": ['{"euros":', " 40}"]})
    turn = replace(turn_input(), form=form)
    events = [
        event
        async for event in run_turn(turn, turn_ports(generator, [passage("The lamp costs 40 euros.")]), StopSignal())
    ]
    [request] = generator.requests
    assert request.form == form
    assert request.messages[-1].content.endswith(f"{turn.question}\n\n{form.instruction}")
    assert form.schema in form.instruction
    ended = events[-1]
    assert getattr(ended, "state", None) is TurnState.COMPLETED
    assert getattr(ended, "answer", None) == '{"euros": 40}'


def test_the_text_of_a_form_without_a_schema_names_json() -> None:
    """A provider refuses `json_object` where no message does."""
    assert "JSON" in AnswerForm().instruction
