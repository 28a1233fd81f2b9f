"""JSON and JSON Lines: a block for each record, a line for each value with the path that leads to it."""

import json
import math
from collections.abc import Iterator
from typing import Any

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.assembly import Assembly, SectionPath
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import EMPTY, decode

DAMAGED = "The JSON cannot be read"
TOO_DEEP = "The JSON is nested too deeply."
MAX_DEPTH = 64


def parse(data: bytes, _limits: ParseLimits) -> ParsedDocument:
    text = decode(data).lstrip("\ufeff")
    if not text.strip():
        raise IngestionFailure(EMPTY)
    assembly = Assembly()
    try:
        whole = json.loads(text)
    except RecursionError as error:
        raise IngestionFailure(TOO_DEEP) from error
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise IngestionFailure(f"{DAMAGED}: line {error.lineno}, column {error.colno}.") from error
        for record in _lines(text):
            _add(record, assembly, None)
        return assembly.document(empty=EMPTY)
    for section, record in _records(whole):
        _add(record, assembly, section)
    return assembly.document(empty=EMPTY)


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except RecursionError as error:
                raise IngestionFailure(TOO_DEEP) from error
            except ValueError as error:
                raise IngestionFailure(f"{DAMAGED}: line {number}.") from error


def _records(whole: Any) -> Iterator[tuple[str | None, Any]]:
    """The items of a list, also of those directly below an object's names; everything else is one record."""
    if isinstance(whole, list):
        yield from ((None, item) for item in whole)
        return
    if not isinstance(whole, dict):
        yield None, whole
        return
    rest = {}
    for name, value in whole.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from ((SectionPath(name).path, item) for item in value)
        else:
            rest[name] = value
    if rest:
        yield None, rest


def _add(record: Any, assembly: Assembly, section: str | None) -> None:
    assembly.add("\n".join(_values(record)), section=section)


def _values(record: Any) -> Iterator[str]:
    """`path.to.value: text` for each leaf, in order. Raises IngestionFailure below MAX_DEPTH."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), record)]
    while pending:
        path, value = pending.pop()
        if len(path) > MAX_DEPTH:
            raise IngestionFailure(TOO_DEEP)
        if isinstance(value, dict):
            pending.extend(((*path, name), item) for name, item in reversed(value.items()))
        elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            pending.extend(((*path, str(number)), item) for number, item in reversed([*enumerate(value, 1)]))
        elif shown := _shown(value):
            yield f"{'.'.join(path)}: {shown}" if path else shown


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(filter(None, map(_shown, value)))
        case float() if not math.isfinite(value):
            return ""
    return str(value)
