"""The fingerprint of a body: equal for equal requests, however they are cut, and for no others."""

import pytest

from deployments.gateway.fingerprint import Fingerprint

JSON = "application/json"


def of(content_type: str, body: bytes, step: int = 1_000_000) -> str:
    found = Fingerprint(content_type)
    for start in range(0, len(body), step):
        found.update(body[start : start + step])
    return found.value()


def form(boundary: str, *parts: bytes) -> tuple[str, bytes]:
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return f"multipart/form-data; boundary={boundary}", body


def test_a_json_body_counts_with_its_media_type() -> None:
    assert of(JSON, b'{"a": 1}') == of("application/json; charset=utf-8", b'{"a": 1}', 1)
    assert of(JSON, b'{"a": 1}') != of(JSON, b'{"a": 2}')
    assert of(JSON, b"x") != of("text/plain", b"x")


@pytest.mark.parametrize("step", [1, 2, 7, 1_000])
def test_a_form_is_the_same_with_another_boundary(step: int) -> None:
    parts = (b"one --- two", b"\r\n----", b"")
    first = of(*form("----aaaa", *parts))
    assert of(*form("----zbzbzb", *parts), step) == first
    assert of(*form("----aaaa", *parts), step) == first


def test_content_cannot_stand_for_the_edge_of_a_part() -> None:
    assert of(*form("qqq", b"a", b"b")) != of(*form("qqq", b"ab"))
    assert of(*form("qqq", b"a\r\n--XXX\r\n\r\nb")) != of(*form("XXX", b"a", b"b"))
