"""Visitors of a chatbot: known by the tenant's own name for them, or anonymous."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.errors import TenantSuspended
from domain.ids import ChatbotId, TenantId, VisitorId, new_uuid
from storage.postgres.database import Transaction, fetch_all, fetch_one, queue
from storage.postgres.queries import load
from storage.postgres.sealed_columns import seal_attributes
from storage.postgres.tenant_keys import cipher_of

_SQL = load("visitors")


@dataclass(frozen=True, slots=True)
class Visitor:
    id: VisitorId
    external_id: str | None
    """The tenant's own name for the person; None for an anonymous visitor."""
    created_at: datetime
    last_seen_at: datetime
    sessions: int


class Visitors:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def tenant_of_chatbot(self, chatbot_id: ChatbotId) -> TenantId | None:
        """Whose bot this is; needs a system transaction."""
        row = await fetch_one(self._tx, _SQL["tenant_of_chatbot"], chatbot_id=chatbot_id)
        return TenantId(row["tenant_id"]) if row else None

    async def insert(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> VisitorId:
        """A new anonymous visitor."""
        row = await fetch_one(self._tx, _SQL["insert"], tenant_id=tenant_id, id=new_uuid(), chatbot_id=chatbot_id)
        assert row is not None
        return VisitorId(row["id"])

    async def identify(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        external_id: str,
        attributes: Mapping[str, str] | None = None,
    ) -> VisitorId:
        """The visitor of this name, made when there is none; the caller has checked the claim to it. `attributes`
        replace those of before; None leaves them."""
        row = await fetch_one(
            self._tx,
            _SQL["identify"],
            tenant_id=tenant_id,
            id=new_uuid(),
            chatbot_id=chatbot_id,
            external_id=external_id,
        )
        assert row is not None
        visitor_id = VisitorId(row["id"])
        if attributes is not None:
            cipher = await cipher_of(self._tx, tenant_id)
            sealed = seal_attributes(cipher, visitor_id, attributes)
            await queue(self._tx, _SQL["set_attributes"], tenant_id=tenant_id, id=visitor_id, sealed=sealed)
        return visitor_id

    async def welcome_back(self, tenant_id: TenantId, chatbot_id: ChatbotId, visitor_id: VisitorId) -> bool:
        """False when the bot has no such anonymous visitor."""
        row = await fetch_one(self._tx, _SQL["welcome_back"], tenant_id=tenant_id, chatbot_id=chatbot_id, id=visitor_id)
        return row is not None

    async def exists(self, tenant_id: TenantId, visitor_id: VisitorId, chatbot_id: ChatbotId | None = None) -> bool:
        """Whether there is such a visitor, of the bot where one is given."""
        row = await fetch_one(self._tx, _SQL["exists"], tenant_id=tenant_id, id=visitor_id, chatbot_id=chatbot_id)
        return row is not None

    async def present(self, tenant_id: TenantId, visitor_id: VisitorId) -> bool:
        """False for one who was erased. Raises TenantSuspended."""
        row = await fetch_one(self._tx, _SQL["standing"], tenant_id=tenant_id, id=visitor_id)
        if row is not None and row["suspended"]:
            raise TenantSuspended
        return row is not None and bool(row["present"])

    async def list_page(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, limit: int, before: UUID | None = None
    ) -> list[Visitor]:
        """Up to `limit` visitors, newest first, older than `before`."""
        rows = await fetch_all(
            self._tx, _SQL["list"], tenant_id=tenant_id, chatbot_id=chatbot_id, limit=limit, before=before
        )
        return [Visitor(**row) for row in rows]
