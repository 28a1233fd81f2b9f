"""The usage ledger: one row per turn, and the daily sums made from it."""

from collections.abc import Sequence
from uuid import UUID

from domain.events import OutboxEvent
from domain.generation import Usage
from domain.ids import ChatbotId, SessionId, TenantId, TurnId
from storage.postgres.database import Transaction, execute, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("ledger")


class Ledger:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def record(
        self,
        tenant_id: TenantId,
        turn_id: TurnId,
        chatbot_id: ChatbotId,
        session_id: SessionId,
        model: str,
        usage: Usage,
        cost_micro: int,
    ) -> None:
        """Store what a turn used; `cost_micro` is in millionths of the currency unit."""
        await queue(
            self._tx,
            _SQL["insert_entry"],
            tenant_id=tenant_id,
            turn_id=turn_id,
            chatbot_id=chatbot_id,
            session_id=session_id,
            model=model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            cost_micro=cost_micro,
        )

    async def tokens_this_month(self, tenant_id: TenantId) -> int:
        """Prompt and completion tokens since the first of the month, UTC."""
        row = await fetch_one(self._tx, _SQL["tokens_this_month"], tenant_id=tenant_id)
        return int(row["tokens"]) if row else 0

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
            cost=[int(one["cost_micro"]) for one in payloads],
        )

    async def add_today(self, tenant_id: TenantId, chatbot_id: ChatbotId, usage: Usage, cost_micro: int) -> None:
        """Add what an evaluation used to the sums of today (UTC): tokens, and no turn."""
        await execute(
            self._tx,
            _SQL["add_today"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_micro=cost_micro,
        )
