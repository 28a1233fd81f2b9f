"""Chat sessions: whose they are, which branch is active, and whether they take questions."""

from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from domain.conversation import Session
from domain.errors import NotFound
from domain.ids import ChatbotId, SessionId, TenantId, TurnId, VisitorId, new_uuid
from domain.tenancy import Chatter
from storage.postgres.database import Transaction, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.sealed_columns import seal_title, title_of
from storage.postgres.tenant_keys import cipher_of

_SQL = load("sessions")
_MISSING = "There is no such session."


class Sessions:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, title: str, visitor_id: VisitorId | None = None
    ) -> Session:
        """A new session of a bot and for a visitor that must exist. Raises NotFound when they are erased just now."""
        session_id = SessionId(new_uuid())
        try:
            row = await fetch_one(
                self._tx,
                _SQL["insert"],
                tenant_id=tenant_id,
                id=session_id,
                chatbot_id=chatbot_id,
                sealed_title=await self._seal(tenant_id, session_id, title),
                visitor_id=visitor_id,
            )
        except ForeignKeyViolation as error:
            raise NotFound("The chatbot or the visitor is not there any more.") from error
        return await self._found(row)

    async def get(self, tenant_id: TenantId, session_id: SessionId, chatbot_id: ChatbotId | None = None) -> Session:
        """Raises NotFound, also when the session is another bot's than `chatbot_id`."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=session_id)
        if row is None or (chatbot_id is not None and row["chatbot_id"] != chatbot_id):
            raise NotFound(_MISSING)
        return await self._found(row)

    async def get_for(self, chatter: Chatter, session_id: SessionId, chatbot_id: ChatbotId) -> Session:
        """A session of the bot that this chatter may see: any for the tenant's people. Raises NotFound."""
        session = await self.get(chatter.tenant_id, session_id, chatbot_id)
        if chatter.visitor_id is not None and (
            session.visitor_id != chatter.visitor_id or session.chatbot_id != chatter.chatbot_id
        ):
            raise NotFound(_MISSING)
        return session

    async def list_page(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        limit: int,
        before: UUID | None = None,
        visitor_id: VisitorId | None = None,
    ) -> list[Session]:
        """Up to `limit` sessions, newest first, older than `before`; only those of `visitor_id` where it is given."""
        rows = await fetch_all(
            self._tx,
            _SQL["list"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            limit=limit,
            before=before,
            visitor_id=visitor_id,
        )
        return [await self._found(row) for row in rows]

    async def update(
        self,
        tenant_id: TenantId,
        session_id: SessionId,
        *,
        title: str | None = None,
        closed: bool | None = None,
        head_turn_id: TurnId | None = None,
    ) -> Session:
        """Change what is given. The caller has checked that the turn is the session's. Raises NotFound."""
        row = await fetch_one(
            self._tx,
            _SQL["update"],
            tenant_id=tenant_id,
            id=session_id,
            renamed=title is not None,
            sealed_title=await self._seal(tenant_id, session_id, title or ""),
            closed=closed,
            head_turn_id=head_turn_id,
        )
        return await self._found(row)

    async def _seal(self, tenant_id: TenantId, session_id: SessionId, title: str) -> bytes | None:
        return seal_title(await cipher_of(self._tx, tenant_id), session_id, title) if title else None

    async def _found(self, row: DictRow | None) -> Session:
        """Raises NotFound without a row, Unreadable for a title that does not open."""
        if row is None:
            raise NotFound(_MISSING)
        values = dict(row)
        sealed = values.pop("sealed_title")
        if sealed is not None:
            cipher = await cipher_of(self._tx, row["tenant_id"])
            values["title"] = title_of(cipher, row["id"], sealed, row["title"])
        return Session(**values)
