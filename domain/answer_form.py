"""The form that a caller asks an answer to have: text, or a JSON object, by a schema or without one."""

import json
from dataclasses import dataclass
from typing import Any

from domain.errors import InvalidInput
from domain.text import clean_text

MAX_SCHEMA_CHARS = 16_000
MAX_SCHEMA_DEPTH = 16
MAX_BOUND = 1_000
"""Of repetitions: engines unroll them."""
MAX_BOUNDS = 10_000
"""Of one repetition inside another, multiplied."""
NO_JSON = "The language model of this chatbot cannot be held to JSON."
_BOUNDS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_REFUSED = ("pattern", "patternProperties", "propertyNames", "$dynamicRef", "$recursiveRef", "$id", "$anchor")
"""What makes a schema's grammar as big as it likes, or looks beyond the schema."""
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
"""Maps of names, which may be any, to schemas."""
_DATA = ("enum", "const", "default", "examples")


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """A JSON object; an answer in plain text has no form."""

    schema: str = ""
    """A JSON Schema of an object as compact JSON, from `form_of`; empty: any object."""
    name: str = "answer"
    strict: bool | None = None
    """As a provider understands it; engines of our own always hold an answer to its schema."""

    @property
    def schema_object(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.schema)
        return found

    @property
    def response_format(self) -> dict[str, Any]:
        """As OpenAI's API takes it."""
        if not self.schema:
            return {"type": "json_object"}
        described: dict[str, Any] = {"name": self.name, "schema": self.schema_object}
        if self.strict is not None:
            described["strict"] = self.strict
        return {"type": "json_schema", "json_schema": described}

    @property
    def instruction(self) -> str:
        """What the model is told, beside being held to it."""
        if not self.schema:
            return "Answer with one JSON object and nothing else."
        return f"Answer with one JSON object and nothing else. It follows this JSON Schema: {self.schema}"


def form_of(schema: dict[str, Any] | None = None, name: str = "answer", strict: bool | None = None) -> AnswerForm:
    """Raises InvalidInput for a schema that no engine should be given."""
    return AnswerForm("" if schema is None else _checked(schema), name, strict)


def encode_form(form: AnswerForm | None) -> list[Any] | None:
    return None if form is None else [form.schema, form.name, form.strict]


def decode_form(item: Any) -> AnswerForm | None:
    """Of what `encode_form` made. Raises ValueError, TypeError for another shape."""
    if item is None:
        return None
    schema, name, strict = item
    return AnswerForm(str(schema), str(name), None if strict is None else bool(strict))


def _checked(schema: dict[str, Any]) -> str:
    if schema.get("type") != "object":
        raise InvalidInput("A JSON Schema for an answer has the type object.")
    try:
        # Its depth comes first: what is nested without end cannot be written either.
        _check(schema, 1, 1)
        text = clean_text(json.dumps(schema, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput("The JSON Schema is not valid JSON.") from None
    if len(text) > MAX_SCHEMA_CHARS:
        raise InvalidInput(f"A JSON Schema for an answer has at most {MAX_SCHEMA_CHARS:,} characters.")
    return text


def _check(schema: Any, depth: int, around: int) -> None:
    """`around` is how often what surrounds the schema may repeat it."""
    if depth > MAX_SCHEMA_DEPTH:
        raise InvalidInput(f"A JSON Schema for an answer is at most {MAX_SCHEMA_DEPTH} levels deep.")
    if isinstance(schema, dict):
        _check_keywords(schema)
        around *= _most(schema)
        if around > MAX_BOUNDS:
            raise InvalidInput("The JSON Schema repeats too much inside what it repeats.")
        for key, part in schema.items():
            if key in _DATA:
                _check_data(part, depth + 1)
            elif key in _NAMED and isinstance(part, dict):
                _check(list(part.values()), depth, around)
            else:
                _check(part, depth + 1, around)
    elif isinstance(schema, list):
        for part in schema:
            _check(part, depth + 1, around)


def _check_keywords(schema: dict[str, Any]) -> None:
    for key in _REFUSED:
        if key in schema:
            raise InvalidInput(f"A JSON Schema for an answer cannot use `{key}`.")
    if not str(schema.get("$ref", "#")).startswith("#"):
        raise InvalidInput("A JSON Schema for an answer refers to its own parts only.")


def _check_data(value: Any, depth: int) -> None:
    if depth > MAX_SCHEMA_DEPTH:
        raise InvalidInput(f"A JSON Schema for an answer is at most {MAX_SCHEMA_DEPTH} levels deep.")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_data(part, depth + 1)


def _most(schema: dict[str, Any]) -> int:
    bounds = [value for key in _BOUNDS if isinstance(value := schema.get(key), int | float)]
    if any(not 0 <= value <= MAX_BOUND for value in bounds):
        raise InvalidInput(f"The bounds of a JSON Schema for an answer are from 0 to {MAX_BOUND:,}.")
    return max(1, *map(int, bounds)) if bounds else 1
