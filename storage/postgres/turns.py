"""Turns: accepted with their question, ended with their answer, fenced by the tenant's epoch."""

from dataclasses import dataclass

from psycopg.errors import UniqueViolation

from domain.chatbot import ChatbotConfig
from domain.conversation import Citation, MessageRole, TurnState
from domain.errors import NotFound, StaleEpoch, TurnRunning
from domain.generation import PromptMessage, Usage
from domain.ids import ChatbotId, DocumentId, MessageId, SessionId, TenantId, TurnId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("turns")


@dataclass(frozen=True, slots=True)
class SessionContext:
    session_id: SessionId
    chatbot_id: ChatbotId
    chatbot_name: str
    version: int
    config: ChatbotConfig


@dataclass(frozen=True, slots=True)
class AcceptedTurn:
    id: TurnId
    message_id: MessageId
    state: TurnState


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn as it is stored; `message_id` is None when it has no answer."""

    id: TurnId
    state: TurnState
    model: str
    error_code: str | None
    message_id: MessageId | None
    answer: str
    citations: tuple[Citation, ...]
    usage: Usage


class Turns:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def claim_epoch(self, host: str) -> int:
        """Take the tenant for `host`; what older epochs try to commit from now on fails."""
        row = await fetch_one(self._tx, _SQL["claim_epoch"], tenant_id=self._tenant, host=host)
        assert row is not None
        return int(row["epoch"])

    async def require_epoch(self, epoch: int) -> None:
        """Raise StaleEpoch when another host has taken the tenant."""
        row = await fetch_one(self._tx, _SQL["hold_epoch"], tenant_id=self._tenant)
        if row is None or row["epoch"] != epoch:
            raise StaleEpoch

    async def interrupt_orphans(self, epoch: int) -> int:
        """Close the turns that earlier epochs left open; how many."""
        return await execute(self._tx, _SQL["interrupt_orphans"], tenant_id=self._tenant, epoch=epoch)

    async def plan_key(self) -> str:
        """Raises NotFound for a tenant that is gone."""
        row = await fetch_one(self._tx, _SQL["tenant_plan"], tenant_id=self._tenant)
        if row is None:
            raise NotFound
        return str(row["plan"])

    async def session_context(self, session_id: SessionId) -> SessionContext:
        """Raises NotFound for a session that this tenant does not have."""
        row = await fetch_one(self._tx, _SQL["session_context"], tenant_id=self._tenant, session_id=session_id)
        if row is None:
            raise NotFound("There is no such session.")
        return SessionContext(
            session_id=row["session_id"],
            chatbot_id=row["chatbot_id"],
            chatbot_name=row["chatbot_name"],
            version=row["version"],
            config=ChatbotConfig.model_validate(row["config"]),
        )

    async def find(self, session_id: SessionId, client_id: str) -> AcceptedTurn | None:
        """The turn that the client's own message id made before, if any."""
        row = await fetch_one(
            self._tx, _SQL["by_client_id"], tenant_id=self._tenant, session_id=session_id, client_id=client_id
        )
        return AcceptedTurn(row["id"], row["user_message_id"], TurnState(row["state"])) if row else None

    async def accept(
        self,
        context: SessionContext,
        turn_id: TurnId,
        message_id: MessageId,
        client_id: str,
        question: str,
        epoch: int,
    ) -> None:
        """Store the question and open its turn.

        Raises TurnRunning when the session has an open turn or the client id was stored meanwhile.
        """
        try:
            await self._insert_turn(context, turn_id, message_id, client_id, epoch)
        except UniqueViolation as error:
            raise TurnRunning from error
        await self._insert_message(message_id, context.session_id, turn_id, MessageRole.USER, question)
        await execute(
            self._tx, _SQL["touch_session"], tenant_id=self._tenant, session_id=context.session_id, title=question
        )

    async def _insert_turn(
        self, context: SessionContext, turn_id: TurnId, message_id: MessageId, client_id: str, epoch: int
    ) -> None:
        await execute(
            self._tx,
            _SQL["insert_turn"],
            tenant_id=self._tenant,
            id=turn_id,
            session_id=context.session_id,
            chatbot_id=context.chatbot_id,
            config_version=context.version,
            client_id=client_id,
            user_message_id=message_id,
            epoch=epoch,
        )

    async def end(
        self,
        turn_id: TurnId,
        epoch: int,
        state: TurnState,
        *,
        model: str | None = None,
        plan_reason: str | None = None,
        error_code: str | None = None,
    ) -> None:
        """Close an open turn. Raises StaleEpoch when it is not open under this epoch."""
        changed = await execute(
            self._tx,
            _SQL["end_turn"],
            tenant_id=self._tenant,
            id=turn_id,
            epoch=epoch,
            state=state,
            model=model,
            plan_reason=plan_reason,
            error_code=error_code,
        )
        if changed != 1:
            raise StaleEpoch

    async def add_answer(
        self,
        turn_id: TurnId,
        session_id: SessionId,
        message_id: MessageId,
        answer: str,
        citations: tuple[Citation, ...],
    ) -> None:
        """Store the assistant's message with its citations."""
        await self._insert_message(message_id, session_id, turn_id, MessageRole.ASSISTANT, answer)
        for citation in citations:
            await execute(
                self._tx,
                _SQL["insert_citation"],
                tenant_id=self._tenant,
                message_id=message_id,
                position=citation.position,
                document_id=citation.document_id,
                document_name=citation.document_name,
                page=citation.page,
                section=citation.section,
                span_start=citation.start,
                span_end=citation.end,
                snippet=citation.snippet,
            )

    async def recent_messages(self, session_id: SessionId, limit: int = 20) -> tuple[PromptMessage, ...]:
        """The latest answered exchanges, oldest first: user, assistant, user, assistant …"""
        rows = await fetch_all(
            self._tx, _SQL["recent_messages"], tenant_id=self._tenant, session_id=session_id, limit=limit
        )
        return tuple(PromptMessage(row["role"], row["content"]) for row in reversed(rows))

    async def ended(self, session_id: SessionId, turn_id: TurnId) -> EndedTurn:
        """Raises NotFound for a turn that this session does not have."""
        row = await fetch_one(self._tx, _SQL["ended_turn"], tenant_id=self._tenant, session_id=session_id, id=turn_id)
        if row is None:
            raise NotFound("There is no such turn.")
        citations: tuple[Citation, ...] = ()
        if row["message_id"] is not None:
            citations = await self._citations(row["message_id"])
        return EndedTurn(
            id=row["id"],
            state=TurnState(row["state"]),
            model=row["model"] or "",
            error_code=row["error_code"],
            message_id=row["message_id"],
            answer=row["content"] or "",
            citations=citations,
            usage=Usage(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]),
        )

    async def _citations(self, message_id: MessageId) -> tuple[Citation, ...]:
        rows = await fetch_all(self._tx, _SQL["citations_of"], tenant_id=self._tenant, message_id=message_id)
        return tuple(
            Citation(
                position=row["position"],
                document_id=DocumentId(row["document_id"]),
                document_name=row["document_name"],
                page=row["page"],
                section=row["section"],
                start=row["span_start"],
                end=row["span_end"],
                snippet=row["snippet"],
            )
            for row in rows
        )

    async def _insert_message(
        self, message_id: MessageId, session_id: SessionId, turn_id: TurnId, role: MessageRole, content: str
    ) -> None:
        await execute(
            self._tx,
            _SQL["insert_message"],
            tenant_id=self._tenant,
            id=message_id,
            session_id=session_id,
            turn_id=turn_id,
            role=role,
            content=content,
        )
