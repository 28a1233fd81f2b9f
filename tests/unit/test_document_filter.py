"""Metadata is flat and bounded; a filter is frozen, closed and says when it lets everything through."""

from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.document_filter import MAX_KEY, MAX_KEYS, MAX_VALUE, DocumentFilter, Metadata

METADATA: TypeAdapter[Metadata] = TypeAdapter(Metadata)


def test_metadata_keeps_its_kinds_of_values() -> None:
    given = {"team": "sales", "year": 2026, "share": 0.5, "public": True, "Größe": "", "k" * MAX_KEY: "v" * MAX_VALUE}
    kept = METADATA.validate_python(given)
    assert kept == given
    assert [type(value) for value in kept.values()] == [type(value) for value in given.values()]


@pytest.mark.parametrize(
    "given",
    [
        {"": "x"},
        {"k" * (MAX_KEY + 1): "x"},
        {"a\x00": "x"},
        {"\ud800": "x"},
        {"a": "x\x00"},
        {"a": "\udfff"},
        {"a": "v" * (MAX_VALUE + 1)},
        {"a": None},
        {"a": ["x"]},
        {"a": {"b": "c"}},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": 2**60},
        {str(number): number for number in range(MAX_KEYS + 1)},
        ["a"],
    ],
)
def test_metadata_refuses_what_is_not_flat_and_small(given: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        METADATA.validate_python(given)
    assert caught.value.error_count() == 1


def test_a_filter_takes_one_value_or_several() -> None:
    chosen = DocumentFilter.model_validate({"metadata": {"team": "sales", "year": [2025, 2026]}, "languages": ["de"]})
    assert chosen.metadata == {"team": ("sales",), "year": (2025, 2026)}
    assert not chosen.empty
    assert DocumentFilter().empty
    assert DocumentFilter.model_validate(chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize(
    "given",
    [
        {"languages": ["english"]},
        {"languages": ["EN"]},
        {"document_ids": ["1"]},
        {"document_ids": [uuid4() for _ in range(101)]},
        {"name": ""},
        {"name": "a\x00"},
        {"metadata": {"a": []}},
        {"metadata": {"a": [{}]}},
        {"metadata": {str(number): 1 for number in range(11)}},
        {"owner": "me"},
    ],
)
def test_a_filter_refuses_what_it_does_not_know(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DocumentFilter.model_validate(given)
