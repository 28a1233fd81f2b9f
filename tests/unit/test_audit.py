"""The audit log's encoding, against a vector computed by hand, and what a check says of a chain."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.audit import FIRST_PREVIOUS, AuditEvent, encoded, hash_of
from domain.audit_anchor import Anchor, object_key, opened, sealed
from domain.audit_check import MAX_FINDINGS, ChainCheck, Fault
from domain.ids import TenantId

TENANT = TenantId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
EVENT = AuditEvent(
    tenant_id=TENANT,
    seq=7,
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    actor_kind="user",
    actor_id="u-1",
    action="chatbot.create",
    target_kind="chatbot",
    target_id=None,
    ip="203.0.113.7",
    request_id="",
    details={"name": "Bücher", "fields": ["a"], "n": 1, "demo": True, "none": None},
    previous_hash=FIRST_PREVIOUS,
    hash=b"",
)
VECTOR = (
    b"\x00\x00\x00\x0floquent-audit-1"
    b"\x00\x00\x00\x2401890a5d-ac96-774b-bcce-b302099a8057"
    b"\x00\x00\x00\x017"
    b"\x00\x00\x00\x101767323045678901"
    b"\x00\x00\x00\x04user"
    b"\x00\x00\x00\x03u-1"
    b"\x00\x00\x00\x0echatbot.create"
    b"\x00\x00\x00\x07chatbot"
    b"\xff\xff\xff\xff"
    b"\x00\x00\x00\x0b203.0.113.7"
    b"\x00\x00\x00\x00"
    b'\x00\x00\x00\x3f{"demo":true,"fields":["a"],"n":1,"name":"B\xc3\xbccher","none":null}'
    b"\x00\x00\x00\x20" + bytes(32)
)
KEY = b"k" * 32


def chain(length: int) -> list[AuditEvent]:
    events, previous = [], FIRST_PREVIOUS
    for seq in range(1, length + 1):
        event = replace(EVENT, seq=seq, previous_hash=previous)
        event = replace(event, hash=hash_of(event))
        events.append(event)
        previous = event.hash
    return events


def test_the_encoding_is_the_documented_one() -> None:
    assert encoded(EVENT) == VECTOR
    assert hash_of(EVENT).hex() == hashlib.sha256(VECTOR).hexdigest()
    assert hash_of(EVENT).hex() == "d28b847845d4fa37b79f5d42c5d022328fedd3940298b3cfeb8f3755ab6438e0"


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": UUID(int=1)},
        {"seq": 8},
        {"at": EVENT.at.replace(microsecond=678902)},
        {"actor_kind": "visitor"},
        {"actor_id": None},
        {"action": "chatbot.delete"},
        {"target_kind": "document"},
        {"target_id": ""},
        {"ip": "203.0.113.8"},
        {"request_id": None},
        {"details": {}},
        {"previous_hash": b"\x01" * 32},
        # A boundary that moves between two fields is another event.
        {"actor_kind": "use", "actor_id": "ru-1"},
    ],
)
def test_every_field_counts(change: dict[str, Any]) -> None:
    assert hash_of(replace(EVENT, **change)) != hash_of(EVENT)


def test_the_order_of_details_does_not_count() -> None:
    turned = dict(sorted(EVENT.details.items(), reverse=True))
    assert list(turned) != list(EVENT.details)
    assert hash_of(replace(EVENT, details=turned)) == hash_of(EVENT)


def faults(events: list[AuditEvent], head: AuditEvent | None, *anchored: AuditEvent) -> list[tuple[Fault, int | None]]:
    check = ChainCheck((event.seq, event.hash) for event in anchored)
    for event in events:
        check.take(event)
    return [(f.fault, f.seq) for f in check.finish((head.seq, head.hash) if head else None)]


def test_a_whole_chain_has_no_findings() -> None:
    events = chain(5)
    assert faults(events, events[4], events[1], events[4]) == []


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda c: [*c[:2], replace(c[2], action="x"), *c[3:]], [(Fault.EDITED, 3)]),
        (lambda c: [*c[:1], *c[3:]], [(Fault.MISSING, 2)]),
        (lambda c: c[1:], [(Fault.MISSING, 1)]),
        (lambda c: c[:3], [(Fault.CUT_OFF, 4)]),
        (lambda c: [], [(Fault.CUT_OFF, 1)]),
        (lambda c: [replace(c[0], seq=0), *c], [(Fault.REPLACED, 0), (Fault.EDITED, 0), (Fault.REPLACED, 1)]),
    ],
)
def test_tampering_is_told_with_its_place(
    tamper: Callable[[list[AuditEvent]], list[AuditEvent]], expected: list[tuple[Fault, int]]
) -> None:
    events = chain(5)
    assert faults(tamper(events), events[4]) == expected


def test_an_edited_event_with_a_hash_of_its_own_breaks_the_link() -> None:
    events = chain(5)
    edited = replace(events[2], action="x")
    edited = replace(edited, hash=hash_of(edited))
    assert faults([*events[:2], edited, *events[3:]], events[4]) == [(Fault.REPLACED, 4)]


def test_the_head_and_the_anchors_know_the_end() -> None:
    events = chain(5)
    assert faults(events[:3], events[2], events[3]) == [(Fault.CUT_OFF, 4)]
    assert faults(events, events[2]) == [(Fault.HEAD, 3)]
    assert faults(events, replace(events[4], hash=b"x" * 32)) == [(Fault.HEAD, 5)]
    assert faults(events, None) == [(Fault.HEAD, None)]
    assert faults(events, events[4], replace(events[2], hash=b"x" * 32)) == [(Fault.REPLACED, 3)]
    # Two anchors that say different things of one event cannot both be right.
    assert faults(events, events[4], events[2], replace(events[2], hash=b"x" * 32)) == [(Fault.REPLACED, 3)]


def test_many_findings_still_tell_of_the_end() -> None:
    events = [replace(event, action="x") for event in chain(50)]
    found = faults(events, None)
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1] == (Fault.HEAD, None)


def test_an_anchor_opens_with_its_key_only() -> None:
    anchor = Anchor(3, b"p" * 32, EVENT.at, {TENANT: (9, b"h" * 32)})
    data, mac = sealed(anchor, KEY)
    assert opened(data, KEY) == (anchor, mac)
    assert object_key(anchor, mac) == f"audit-anchors/2026-01-02/000000000003-{mac.hex()[:16]}.jsonl"
    for forged in (b"", b"\n", data[:-2], data.replace(b'"seq": 9', b'"seq": 8'), data + data, data.splitlines()[-1]):
        with pytest.raises(ValueError, match="seal"):
            opened(forged, KEY)
    with pytest.raises(ValueError, match="seal"):
        opened(data, b"another key")
