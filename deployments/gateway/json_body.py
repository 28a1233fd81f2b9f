"""Looks at a JSON body before anything acts on it: two values under one key, or endless nesting, are refused."""

import json
import re
from itertools import accumulate
from typing import Any

from starlette.datastructures import Headers

from domain.errors import InvalidInput, UnsupportedMedia

MAX_DEPTH = 32
_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^][{}]+")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class _DuplicateKey(Exception):
    pass


def check_body(headers: Headers, body: bytes) -> None:
    """Raises UnsupportedMedia for a body that is not JSON by its media type, InvalidInput for JSON of two meanings.

    What is no JSON at all is left to the route, which says so.
    """
    if not body:
        return
    kinds = headers.getlist("content-type")
    if len(kinds) != 1 or not _JSON.fullmatch(kinds[0].partition(";")[0].strip()):
        raise UnsupportedMedia("Send the body as application/json.")
    check_json(body)


def check_json(body: bytes) -> None:
    """Raises InvalidInput for JSON of two meanings and for what is nested endlessly; not for what is no JSON."""
    try:
        json.loads(body, object_pairs_hook=_without_duplicates)
        deep = _depth(body.decode(json.detect_encoding(body), "surrogatepass")) > MAX_DEPTH
    except RecursionError:
        deep = True
    except _DuplicateKey:
        raise InvalidInput("A key comes twice in one object of the body.") from None
    except ValueError:
        return
    if deep:
        raise InvalidInput(f"The body is nested more than {MAX_DEPTH} deep.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _DuplicateKey


def _depth(text: str) -> int:
    """Of valid JSON."""
    brackets = _NOT_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)
