"""Thresholds of budgets that were reached: written once in their period, and told to the owners."""

from uuid import UUID

from psycopg.types.json import Jsonb

from domain.budget import BudgetKind, BudgetLevel, BudgetNotice
from domain.events import EventKind, OutboxEvent
from domain.ids import TenantId, new_uuid
from domain.mail import MailKind
from storage.postgres.database import Transaction, execute, fetch_one, queue
from storage.postgres.mail_queue import GIVE_UP_SECONDS
from storage.postgres.queries import load

_SQL = load("budget_notices")


class BudgetNotices:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def add(self, tenant_id: TenantId, notice: BudgetNotice) -> None:
        """Write it with an event, if none of its period was written before."""
        notice_id = new_uuid()
        payload = {
            "notice_id": str(notice_id),
            "chatbot_id": str(notice.chatbot_id) if notice.chatbot_id else None,
            "budget": notice.budget.value,
            "level": notice.level.value,
            "period": notice.period.isoformat(),
            "limit": notice.limit,
            "used": notice.used,
        }
        await queue(
            self._tx,
            _SQL["notice"],
            tenant_id=tenant_id,
            id=notice_id,
            chatbot_id=notice.chatbot_id,
            budget=notice.budget,
            level=notice.level,
            period=notice.period,
            most=notice.limit,
            used=notice.used,
            kind=EventKind.BUDGET_REACHED,
            aggregate=f"budget:{notice.chatbot_id or tenant_id}",
            payload=Jsonb(payload),
        )

    async def mail_owners(self, consumer: str, event: OutboxEvent) -> None:
        """Queue a mail to each owner, once; needs a system transaction. Raises KeyError, ValueError for another event.

        `consumer` is whom the event is recorded as handled by.
        """
        await execute(
            self._tx,
            _SQL["mail"],
            consumer=consumer,
            event_id=event.id,
            tenant_id=event.tenant_id,
            notice_id=UUID(event.payload["notice_id"]),
            kind=MailKind.BUDGET_REACHED,
            seconds=GIVE_UP_SECONDS[MailKind.BUDGET_REACHED],
        )

    async def get(self, notice_id: UUID) -> tuple[BudgetNotice, str, str | None] | None:
        """With the names of the company and the bot; None when they are gone. Needs a system transaction."""
        row = await fetch_one(self._tx, _SQL["get"], id=notice_id)
        if row is None:
            return None
        kind, level = BudgetKind(row["budget"]), BudgetLevel(row["level"])
        notice = BudgetNotice(row["chatbot_id"], kind, level, row["period"], row["most"], row["used"])
        return notice, row["company"], row["chatbot"]
