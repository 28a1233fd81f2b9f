"""Events as they travel in the log."""

from datetime import UTC, datetime
from uuid import UUID

from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId
from storage.redis.event_log import event_of_json, event_to_json


def test_an_event_survives_its_json() -> None:
    event = OutboxEvent(
        id=7,
        tenant_id=TenantId(UUID(int=5)),
        kind=EventKind.DOCUMENT_CHANGED,
        aggregate="document:1",
        payload={"name": "Überblick", "number": 7},
        created_at=datetime(2026, 11, 25, 3, 10, tzinfo=UTC),
    )
    assert event_of_json(event_to_json(event)) == event
