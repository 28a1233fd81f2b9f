"""Domain events: written to the outbox in the transaction of the change, relayed in order per aggregate."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.ids import TenantId


class EventKind(StrEnum):
    MESSAGE_COMPLETED = "message.completed"
    DOCUMENT_QUEUED = "document.queued"
    DOCUMENT_RENAMED = "document.renamed"
    DOCUMENT_CHANGED = "document.changed"
    DOCUMENT_DELETED = "document.deleted"
    CHATBOT_DELETED = "chatbot.deleted"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    BUDGET_REACHED = "budget.reached"


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    id: int
    """Grows with every event; a consumer remembers the ids it has handled."""
    tenant_id: TenantId
    kind: EventKind
    aggregate: str
    """`document:<id>`, `session:<id>` …: events of one aggregate are delivered in order."""
    payload: dict[str, Any]
    created_at: datetime
