"""Identifiers sort by time and are valid UUIDv7."""

import time

from domain.ids import new_uuid


def test_version_and_variant() -> None:
    ids = [new_uuid() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(i.version, i.variant) for i in ids} == {(7, "specified in RFC 4122")}


def test_the_first_48_bits_are_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = new_uuid().int >> 80
    assert before <= made <= time.time_ns() // 1_000_000
