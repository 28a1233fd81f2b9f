"""Checks a tenant's chain of audit events against its head and its anchors, event by event."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain.audit import FIRST_PREVIOUS, AuditEvent, hash_of

MAX_FINDINGS = 20
"""Per chain: what is wrong everywhere need not be said for every event."""


class Fault(StrEnum):
    EDITED = "edited"
    MISSING = "missing"
    REPLACED = "replaced"
    CUT_OFF = "cut off"
    HEAD = "head"
    ANCHORS = "anchors"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    fault: Fault
    seq: int | None
    """The first event, or anchor, that it is about."""
    sentence: str


class ChainCheck:
    """Take the events in the order of their numbers, then `finish`.

    `anchored` are pairs of a number and the hash that an anchor says it has.
    """

    def __init__(self, anchored: Iterable[tuple[int, bytes]] = ()) -> None:
        self._anchored: dict[int, set[bytes]] = {}
        for seq, digest in anchored:
            self._anchored.setdefault(seq, set()).add(digest)
        self._last_anchored = max(self._anchored, default=0)
        self._findings: list[Finding] = []
        self._hash = FIRST_PREVIOUS
        self.last_seq = 0

    def take(self, event: AuditEvent) -> None:
        seq, expected = event.seq, self.last_seq + 1
        if seq > expected:
            which = f"Event {expected} is" if seq == expected + 1 else f"Events {expected} to {seq - 1} are"
            self._note(Fault.MISSING, expected, f"{which} missing.")
        elif seq < expected:
            self._note(Fault.REPLACED, seq, f"Event {seq} is none of a chain.")
        elif event.previous_hash != self._hash:
            self._note(Fault.REPLACED, seq, f"Event {seq} does not follow what stands before it: one was replaced.")
        if hash_of(event) != event.hash:
            self._note(Fault.EDITED, seq, f"Event {seq} was edited.")
        if self._anchored.get(seq, {event.hash}) != {event.hash}:
            sentence = f"Event {seq} is not the one that was anchored: events up to it were replaced."
            self._note(Fault.REPLACED, seq, sentence)
        self.last_seq, self._hash = max(seq, self.last_seq), event.hash

    def finish(self, head: tuple[int, bytes] | None) -> list[Finding]:
        """What is wrong, nothing when the chain is whole. `head` is the end that appends go on from."""
        last = self.last_seq
        known = max(self._last_anchored, head[0] if head else 0)
        if known > last:
            who = "was anchored" if self._last_anchored > last else "is the head"
            self._note(Fault.CUT_OFF, last + 1, f"The end was cut off: event {known} {who}, the last here is {last}.")
        if head is None:
            self._note(Fault.HEAD, None, "The head is missing.")
        elif head[0] < last:
            self._note(Fault.HEAD, head[0], f"The head was set back to event {head[0]}; the last here is {last}.")
        elif head[0] == last and head[1] != self._hash:
            self._note(Fault.HEAD, last, f"The head is not event {last}.")
        return self._findings

    def _note(self, fault: Fault, seq: int | None, sentence: str) -> None:
        # The end is always told of, however much is wrong before it.
        if len(self._findings) < MAX_FINDINGS or fault in (Fault.CUT_OFF, Fault.HEAD):
            self._findings.append(Finding(fault, seq, sentence))
