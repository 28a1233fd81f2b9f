"""The usage ledger: a row for everything that was used, and the daily sums made from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.budget import BudgetConfig, MonthSpent, Spent
from domain.errors import NotFound
from domain.events import OutboxEvent
from domain.ids import ChatbotId, SessionId, TenantId, TurnId, new_uuid
from domain.metering import Tally, UseKind
from domain.trace import call_fields
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("ledger")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call beside the turns has to keep to."""

    plan: str
    epoch: int | None
    """Of the host that has the tenant."""
    budget: BudgetConfig | None
    """None when there is no such bot."""


class Ledger:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def record(
        self,
        tenant_id: TenantId,
        turn_id: TurnId,
        chatbot_id: ChatbotId,
        session_id: SessionId | None,
        model: str,
        tally: Tally,
        kind: UseKind = UseKind.TURN,
    ) -> None:
        """Store what a turn used, once: its calls and their sum."""
        usage = tally.usage
        await queue(
            self._tx,
            _SQL["insert_entry"],
            tenant_id=tenant_id,
            turn_id=turn_id,
            chatbot_id=chatbot_id,
            session_id=session_id,
            model=model,
            kind=kind,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            embedded_tokens=usage.embedded_tokens,
            cost_micro=tally.cost_micro,
            calls=Jsonb([call_fields(call) for call in tally.calls]),
        )

    async def record_beside(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        kind: UseKind,
        tally: Tally,
        *,
        turn_id: TurnId | None = None,
        session_id: SessionId | None = None,
    ) -> None:
        """Store what was used by no answered turn, and add it to the sums of today (UTC); nothing for nothing."""
        usage = tally.usage
        if not usage.total_tokens and not tally.cost_micro:
            return
        await self.record(tenant_id, turn_id or TurnId(new_uuid()), chatbot_id, session_id, tally.model, tally, kind)
        await queue(
            self._tx,
            _SQL["add_today"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            embedded_tokens=usage.embedded_tokens,
            cost_micro=tally.cost_micro,
        )

    async def tokens_this_month(self, tenant_id: TenantId) -> int:
        """Tokens of every kind since the first of the month, UTC."""
        row = await fetch_one(self._tx, _SQL["tokens_this_month"], tenant_id=tenant_id)
        return int(row["tokens"]) if row else 0

    async def month(self, tenant_id: TenantId) -> MonthSpent:
        """What each bot used since the first of the month, UTC, by the database's clock."""
        rows = await fetch_all(self._tx, _SQL["month"], tenant_id=tenant_id)
        bots = {row["chatbot_id"]: Spent(row["tokens"], row["cost_micro"]) for row in rows if row["chatbot_id"]}
        return MonthSpent(rows[0]["now"], bots)

    async def terms(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> Terms:
        """Raises NotFound for a tenant that is gone."""
        row = await fetch_one(self._tx, _SQL["terms"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        if row is None:
            raise NotFound
        budget = None if row["version"] is None else BudgetConfig.model_validate(row["budget"] or {})
        return Terms(row["plan"], row["epoch"], budget)

    async def visitor_tokens_today(self, tenant_id: TenantId, visitor_id: UUID) -> int:
        """Of the visitor's turns since midnight, UTC, as far as their conversations are kept."""
        row = await fetch_one(self._tx, _SQL["visitor_today"], tenant_id=tenant_id, visitor_id=visitor_id)
        return int(row["tokens"]) if row else 0

    async def used(
        self, tenant_id: TenantId, since: date, until: date, chatbot_id: ChatbotId | None = None
    ) -> list[DictRow]:
        """Sums by day (UTC), chatbot, use, kind of call and model, newest first."""
        return await fetch_all(
            self._tx, _SQL["used"], tenant_id=tenant_id, since=since, until=until, chatbot_id=chatbot_id
        )

    async def count_turns(self, consumer: str, events: Sequence[OutboxEvent]) -> None:
        """Add `message.completed` events to the sums of their days, each once; needs a system transaction.

        `consumer` is whom the events are recorded as handled by. Raises KeyError, ValueError for what is no such event.
        """
        known = {event.id: event for event in events}
        payloads = [event.payload for event in known.values()]
        await execute(
            self._tx,
            _SQL["count_turns"],
            consumer=consumer,
            ids=list(known),
            tenants=[event.tenant_id for event in known.values()],
            days=[event.created_at.date() for event in known.values()],
            chatbots=[UUID(one["chatbot_id"]) for one in payloads],
            prompt=[int(one["prompt_tokens"]) for one in payloads],
            completion=[int(one["completion_tokens"]) for one in payloads],
            embedded=[int(one.get("embedded_tokens", 0)) for one in payloads],
            cost=[int(one["cost_micro"]) for one in payloads],
        )
