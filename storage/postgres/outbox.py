"""The transactional outbox: events written with the change they tell of, published in order later."""

from typing import Any

from psycopg.types.json import Jsonb

from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("outbox")


class Outbox:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def append(self, tenant_id: TenantId, kind: EventKind, aggregate: str, payload: dict[str, Any]) -> None:
        """Store one event; it is seen by others if and only if the transaction commits."""
        await queue(
            self._tx, _SQL["append"], tenant_id=tenant_id, kind=kind, aggregate=aggregate, payload=Jsonb(payload)
        )

    async def take_unpublished(self, limit: int) -> list[OutboxEvent]:
        """The oldest unpublished events, or none while another relay holds the lock."""
        held = await fetch_one(self._tx, _SQL["lock_relay"])
        if held is None or not held["held"]:
            return []
        rows = await fetch_all(self._tx, _SQL["unpublished"], limit=limit)
        return [OutboxEvent(**{**row, "kind": EventKind(row["kind"])}) for row in rows]

    async def publish_again(self, recorded: list[str]) -> int:
        """Take back that the last hour's events were published, but for those that one of the consumers `recorded`
        has handled; how many."""
        await execute(self._tx, _SQL["wait_for_relay"])
        return await execute(self._tx, _SQL["publish_again"], consumers=recorded)

    async def mark_published(self, ids: list[int]) -> None:
        await execute(self._tx, _SQL["mark_published"], ids=ids)

    async def trim(self) -> int:
        """Delete events published more than seven days ago; how many went."""
        return await execute(self._tx, _SQL["trim"])
