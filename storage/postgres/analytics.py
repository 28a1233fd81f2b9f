"""What happened per day and chatbot: counts only, and nobody's words."""

from collections.abc import Mapping
from datetime import date

from psycopg.rows import DictRow

from domain.ids import ChatbotId, TenantId
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.queries import load

_SQL = load("analytics")


class Analytics:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def daily(
        self,
        tenant_id: TenantId,
        since: date,
        until: date,
        pads: Mapping[str, tuple[bytes, bytes]],
        chatbot_id: ChatbotId | None = None,
    ) -> list[DictRow]:
        """A row per day and chatbot with anything in it, newest first; `pads` are of `domain.pseudonyms`, by month."""
        return await fetch_all(
            self._tx,
            _SQL["daily"],
            tenant_id=tenant_id,
            since=since,
            until=until,
            chatbot_id=chatbot_id,
            months=list(pads),
            inner=[inner for inner, _ in pads.values()],
            outer=[outer for _, outer in pads.values()],
        )
