"""JSON and JSON Lines become records of paths and values; what is broken or too deep says where."""

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing.json import TOO_DEEP, parse
from pipelines.parsing.limits import ParseLimits


def blocks(data: bytes) -> list[tuple[str | None, str]]:
    parsed = parse(data, ParseLimits())
    return [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"name": "Aurora", "watts": 9, "dim": true, "none": null}', [(None, "name: Aurora\nwatts: 9\ndim: yes")]),
        (b'[{"a": 1}, {"a": {"b": [1, "x"]}}]', [(None, "a: 1"), (None, "a.b: 1, x")]),
        (b'{"shop": "S", "lamps": [{"n": 1}, {"n": 2}]}', [("lamps", "n: 1"), ("lamps", "n: 2"), (None, "shop: S")]),
        (b'{"a": [[1, 2], [3]]}', [(None, "a.1: 1, 2\na.2: 3")]),
        (b'{"a": 1}\n\n{"a": "two"}\n', [(None, "a: 1"), (None, "a: two")]),
        (b'"just text"', [(None, "just text")]),
        ('{"größe": "ü"}'.encode("utf-16"), [(None, "größe: ü")]),
        (b'{"a": NaN, "b": 1}', [(None, "b: 1")]),
    ],
)
def test_records(data: bytes, expected: list[tuple[str | None, str]]) -> None:
    assert blocks(data) == expected


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"a": ', "The JSON cannot be read: line 1, column 7."),
        (b'{"a": 1}\n{"a": \n', "The JSON cannot be read: line 2."),
        (b"[" * 100_000, TOO_DEEP),
        (b'{"a":' * 200 + b"1" + b"}" * 200, TOO_DEEP),
        (b"{}", "The file holds no text."),
        (b" \n ", "The file holds no text."),
    ],
)
def test_what_is_broken_says_where(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        blocks(data)
    assert str(caught.value) == sentence
