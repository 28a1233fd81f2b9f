"""Chat sessions and the messages in them, with their citations and usage."""

from collections import defaultdict
from uuid import UUID

from psycopg.rows import DictRow

from domain.conversation import Citation, Message, MessageRole, Session, TurnState
from domain.errors import NotFound
from domain.generation import Usage
from domain.ids import ChatbotId, MessageId, SessionId, TenantId, TurnId, new_uuid
from storage.postgres.database import Transaction, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("sessions")


class Sessions:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(self, tenant_id: TenantId, chatbot_id: ChatbotId, title: str) -> Session:
        """A new session of a bot that must exist."""
        row = await fetch_one(
            self._tx, _SQL["insert"], tenant_id=tenant_id, id=new_uuid(), chatbot_id=chatbot_id, title=title
        )
        assert row is not None
        return Session(**row)

    async def get(self, tenant_id: TenantId, session_id: SessionId, chatbot_id: ChatbotId | None = None) -> Session:
        """Raises NotFound, also when the session is another bot's than `chatbot_id`."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=session_id)
        if row is None or (chatbot_id is not None and row["chatbot_id"] != chatbot_id):
            raise NotFound("There is no such session.")
        return Session(**row)

    async def list_page(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, limit: int, before: UUID | None = None
    ) -> list[Session]:
        """Up to `limit` sessions, newest first, older than `before`."""
        rows = await fetch_all(
            self._tx, _SQL["list"], tenant_id=tenant_id, chatbot_id=chatbot_id, limit=limit, before=before
        )
        return [Session(**row) for row in rows]

    async def list_messages(
        self, tenant_id: TenantId, session_id: SessionId, limit: int, after: UUID | None = None
    ) -> list[Message]:
        """Up to `limit` messages, oldest first, newer than `after`, each with citations and usage."""
        rows = await fetch_all(
            self._tx, _SQL["list_messages"], tenant_id=tenant_id, session_id=session_id, limit=limit, after=after
        )
        return await self._messages(tenant_id, rows)

    async def _messages(self, tenant_id: TenantId, rows: list[DictRow]) -> list[Message]:
        answers = [row["id"] for row in rows if row["role"] == MessageRole.ASSISTANT]
        citations: defaultdict[UUID, list[Citation]] = defaultdict(list)
        if answers:
            for row in await fetch_all(self._tx, _SQL["citations_of"], tenant_id=tenant_id, message_ids=answers):
                citations[row["message_id"]].append(_citation(row))
        return [_message(row, tuple(citations.get(row["id"], ()))) for row in rows]


def _citation(row: DictRow) -> Citation:
    return Citation(
        position=row["position"],
        document_id=row["document_id"],
        document_name=row["document_name"],
        page=row["page"],
        section=row["section"],
        start=row["span_start"],
        end=row["span_end"],
        snippet=row["snippet"],
    )


def _message(row: DictRow, citations: tuple[Citation, ...]) -> Message:
    used = row["prompt_tokens"] is not None
    return Message(
        id=MessageId(row["id"]),
        session_id=SessionId(row["session_id"]),
        turn_id=TurnId(row["turn_id"]),
        role=MessageRole(row["role"]),
        content=row["content"],
        client_id=row["client_id"],
        state=TurnState(row["state"]),
        citations=citations,
        usage=Usage(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) if used else None,
        created_at=row["created_at"],
    )
