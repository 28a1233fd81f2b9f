"""Erasures: what is erased, in which steps, and the receipt that says what went."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.ids import ChatbotId, TenantId

FORMAT = "loquent-erasure-receipt-1"
RETAINED = (
    "usage ledger and daily usage: ids, models and token counts",
    "subscriptions and invoices: ids and amounts",
    "audit events: ids, actions and addresses",
    "that there were keys, without the keys",
    "this receipt",
)
"""What law and billing keep, said in every receipt."""


class ErasureKind(StrEnum):
    VISITOR = "visitor"
    SESSION = "session"
    DOCUMENT = "document"
    CHATBOT = "chatbot"
    TENANT = "tenant"
    RETENTION = "retention"
    """Conversations of a chatbot that are older than it keeps them."""


class ErasureState(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Step(StrEnum):
    ACCESS = "access"
    """Nobody signs in any more."""
    BILLING = "billing"
    KEYS = "keys"
    """What is sealed opens no more, wherever a copy of it may be."""
    ROWS = "rows"
    LIVE = "live"
    """Running turns end, sockets close."""
    VECTORS = "vectors"
    BLOBS = "blobs"
    EVENTS = "events"
    """The outbox and what consumers remember of it."""
    REDIS = "redis"
    VERIFY = "verify"


_COMMON = (Step.ROWS, Step.LIVE, Step.VECTORS, Step.BLOBS, Step.EVENTS, Step.REDIS, Step.VERIFY)
_TENANT = (
    Step.ACCESS,
    Step.BILLING,
    Step.KEYS,
    Step.ROWS,
    Step.LIVE,
    Step.VECTORS,
    Step.BLOBS,
    Step.EVENTS,
    Step.REDIS,
    Step.VERIFY,
)

Related = dict[str, list[str]]
"""Ids as text by what they are of: `sessions`, `visitors`, `documents`, `chatbots`, `people`."""
Counts = dict[str, int]
"""`store.thing` to how many went."""


def steps_of(kind: ErasureKind) -> tuple[Step, ...]:
    """In their order; each may be repeated at any time."""
    return _TENANT if kind is ErasureKind.TENANT else _COMMON


@dataclass(frozen=True, slots=True)
class Erasure:
    tenant_id: TenantId
    id: UUID
    kind: ErasureKind
    subject: UUID
    chatbot_id: ChatbotId | None
    state: ErasureState
    requested_by: str
    """`user:<id>`, `visitor:<id>` or `retention`."""
    requested_at: datetime
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    related: Related
    steps: tuple[Step, ...]
    counts: Counts
    attempts: int
    error: str | None
    receipt: str | None
    """The signed receipt as JSON, exactly as it was signed."""

    def related_uuids(self, name: str) -> list[UUID]:
        return [UUID(one) for one in self.related.get(name, ())]

    @property
    def needles(self) -> frozenset[str]:
        """The ids that no event and no kept answer may mention any more."""
        if self.kind is ErasureKind.TENANT:
            return frozenset((str(self.tenant_id),))
        if self.kind is ErasureKind.CHATBOT:
            return frozenset(self.related.get("chatbots", ()))
        return frozenset(one for name in ("sessions", "visitors", "documents") for one in self.related.get(name, ()))


def receipt_of(erasure: Erasure, finished_at: datetime, counts: Mapping[str, int]) -> dict[str, Any]:
    """What the receipt says: ids, times and numbers, never a word that somebody wrote."""
    return {
        "format": FORMAT,
        "id": str(erasure.id),
        "tenant_id": str(erasure.tenant_id),
        "kind": erasure.kind.value,
        "subject": str(erasure.subject),
        "chatbot_id": str(erasure.chatbot_id) if erasure.chatbot_id else None,
        "requested_by": erasure.requested_by,
        "requested_at": erasure.requested_at.isoformat(),
        "finished_at": finished_at.isoformat(),
        "erased": dict(sorted(counts.items())),
        "verified": True,
        "retained": list(RETAINED),
    }


def canonical(receipt: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: JSON with sorted keys, no spaces, UTF-8, without the field `signature`."""
    fields = {key: value for key, value in receipt.items() if key != "signature"}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def added(first: Mapping[str, int], second: Mapping[str, int]) -> Counts:
    """The sums, without zeros."""
    sums = {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *second)}
    return {key: value for key, value in sums.items() if value}
