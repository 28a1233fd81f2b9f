"""Traces of turns, sealed, for as long as their bot keeps them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.errors import NotFound
from domain.ids import MessageId, SessionId, TenantId, TurnId
from domain.sealing import trace_place
from storage.postgres.database import Transaction, execute, fetch_one, queue
from storage.postgres.queries import load
from storage.postgres.tenant_keys import cipher_of

_SQL = load("traces")


@dataclass(frozen=True, slots=True)
class StoredTrace:
    turn_id: TurnId
    state: str
    model: str | None
    plan_reason: str | None
    error_code: str | None
    created_at: datetime
    ended_at: datetime | None
    cost_micro: int
    """Of the whole turn."""
    found: dict[str, Any]
    """As `TurnTrace.record` wrote it; without `texts` when a message of the turn is withheld."""


class Traces:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def add(self, turn_id: TurnId, record: str, days: int) -> None:
        """Keep the trace of a turn for so many days."""
        cipher = await cipher_of(self._tx, self._tenant)
        sealed = cipher.seal_text(trace_place(turn_id), record)
        await queue(self._tx, _SQL["insert"], tenant_id=self._tenant, turn_id=turn_id, sealed=sealed, days=days)

    async def of_message(self, session_id: SessionId, message_id: MessageId) -> StoredTrace:
        """Of a question or an answer. Raises NotFound, also when the trace is not kept any more, and Unreadable."""
        row = await fetch_one(
            self._tx, _SQL["of_message"], tenant_id=self._tenant, session_id=session_id, message_id=message_id
        )
        if row is None:
            raise NotFound("There is no such message in this session.")
        sealed, withheld = row.pop("sealed"), row.pop("withheld")
        if sealed is None:
            raise NotFound("No trace of this message is kept.")
        cipher = await cipher_of(self._tx, self._tenant)
        found = json.loads(cipher.open_text(trace_place(row["turn_id"]), sealed))
        if withheld:
            found.pop("texts", None)
        return StoredTrace(found=found, **row)


async def delete_expired_traces(tx: Transaction, limit: int) -> int:
    """Of all tenants, up to `limit`; how many went. Needs a system transaction."""
    return await execute(tx, _SQL["delete_expired"], limit=limit)
