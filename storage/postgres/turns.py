"""Turns: accepted with their question, ended with their answer, fenced by the tenant's epoch."""

from dataclasses import dataclass, replace

from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.rows import DictRow

from domain.caching.scope import Versions
from domain.chatbot import ChatbotConfig
from domain.conversation import Citation, Question, TurnState
from domain.errors import ConsentRequired, NotFound, SessionClosed, StaleEpoch, TurnRunning
from domain.ids import ChatbotId, MessageId, SessionId, TenantId, TurnId
from domain.knowledge import Knowledge
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load
from storage.postgres.said import LIMITS, audience_of, said_of
from storage.postgres.sealed_columns import content_of, seal_citation, seal_content, seal_title
from storage.postgres.stored_turn import Accepted, StoredTurn
from storage.postgres.tenant_keys import cipher_of

_SQL = load("turns")

TITLE_CHARS = 80
"""Of the first question, which names a session that has no title."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a socket needs to know of its session."""

    chatbot_id: ChatbotId
    chatbot_name: str
    config: ChatbotConfig
    visitor_id: str | None
    plan: str
    consented: bool
    """Whether questions are taken: nobody has to agree to anything, or the session's visitor did."""

    @property
    def needed_consent(self) -> dict[str, str] | None:
        """`policy_url` and `policy_version` that the visitor has to agree to first."""
        privacy = self.config.privacy
        shown = {"policy_url": privacy.policy_url, "policy_version": privacy.policy_version}
        return None if self.consented else shown


class Turns:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def claim_epoch(self, host: str) -> int:
        """Take the tenant for `host`; what older epochs try to commit from now on fails."""
        row = await fetch_one(self._tx, _SQL["claim_epoch"], tenant_id=self._tenant, host=host)
        assert row is not None
        return int(row["epoch"])

    async def plan_key(self) -> str:
        """Raises NotFound for a tenant that is gone."""
        row = await fetch_one(self._tx, _SQL["tenant_plan"], tenant_id=self._tenant)
        if row is None:
            raise NotFound
        return str(row["plan"])

    async def open_session(self, session_id: SessionId) -> SessionInfo:
        """Raises NotFound for a session that this tenant does not have."""
        row = await fetch_one(self._tx, _SQL["open_session"], tenant_id=self._tenant, session_id=session_id)
        if row is None:
            raise NotFound("There is no such session.")
        return SessionInfo(
            chatbot_id=row["chatbot_id"],
            chatbot_name=row["chatbot_name"],
            config=ChatbotConfig.model_validate(row["config"]),
            visitor_id=str(row["visitor_id"]) if row["visitor_id"] else None,
            plan=row["plan"],
            consented=row["consented"],
        )

    async def accept(
        self,
        session_id: SessionId,
        question: Question,
        turn_id: TurnId,
        message_id: MessageId,
        epoch: int,
        state: TurnState | None,
    ) -> Accepted | None:
        """Store the question and open its turn in `state`, or find the turn that its client id made before.

        Without a state nothing is stored, and None says that the client id is new. Raises StaleEpoch, NotFound
        (the session, or the message to edit or answer again), SessionClosed, and TurnRunning when the session has an
        open turn.
        """
        cipher = await cipher_of(self._tx, self._tenant)
        values = {
            "tenant_id": self._tenant,
            "session_id": session_id,
            "client_id": question.client_id,
            "epoch": epoch,
            "regenerates": question.regenerates,
            "edits": question.edits,
            "id": turn_id,
            "message_id": message_id,
            "sealed": seal_content(cipher, session_id, message_id, question.text),
            "sealed_title": seal_title(cipher, session_id, question.text[:TITLE_CHARS]),
            "locale": question.locale,
            "formed": question.form is not None,
            "state": state or TurnState.ACCEPTED,
            "admitted": state is not None,
        }
        try:
            async with self._tx.pipeline():
                cursor = await self._tx.execute(_SQL["accept"], values)
                history = await self._tx.execute(_SQL["history"], self._history_of(turn_id))
        except UniqueViolation as error:
            raise TurnRunning from error
        except ForeignKeyViolation as error:
            raise NotFound("There is no such session.") from error
        row = await cursor.fetchone()
        if row is None:
            raise NotFound
        if row["known_id"] is not None:
            known = TurnState(row["known_state"])
            return Accepted(row["known_id"], row["known_message_id"], row["plan"], not known.ended, None)
        if row["epoch"] is None:
            raise StaleEpoch
        if row["turn_id"] is None:
            _raise_refusal(row, question)
            return None
        text = question.text
        if question.regenerates is not None:
            text = content_of(cipher, session_id, row["origin_message_id"], row["origin_sealed"], row["origin_content"])
        again = question.edits is not None or question.regenerates is not None or question.form is not None
        versions = None if again else Versions(row["version"], row["knowledge_version"])
        turn = _stored(row, (turn_id, session_id, epoch), text, await history.fetchall(), cipher, versions)
        turn = replace(turn, form=question.form, formed=question.form is not None)
        return Accepted(turn_id, row["user_message_id"], row["plan"], True, turn)

    def _history_of(self, turn_id: TurnId) -> dict[str, object]:
        return {"tenant_id": self._tenant, "turn_id": turn_id, **LIMITS}

    async def begin(self, turn_id: TurnId, epoch: int) -> None:
        """A turn that waited in the queue starts."""
        await execute(self._tx, _SQL["begin"], tenant_id=self._tenant, id=turn_id, epoch=epoch)

    async def open_turns(self) -> list[StoredTurn]:
        """Turns without an end, oldest first."""
        rows = await fetch_all(self._tx, _SQL["open_turns"], tenant_id=self._tenant)
        if not rows:
            return []
        cipher = await cipher_of(self._tx, self._tenant)
        found = []
        for row in rows:
            session_id = row["session_id"]
            text = content_of(cipher, session_id, row["message_id"], row["sealed"], row["content"])
            history = await fetch_all(self._tx, _SQL["history"], **self._history_of(row["id"]))
            stored = _stored(row, (row["id"], session_id, row["epoch"]), text, history, cipher)
            found.append(replace(stored, formed=row["formed"]))
        return found

    async def adopt(self, turn_id: TurnId, epoch: int, state: TurnState) -> bool:
        """Take an open turn of an earlier epoch over; False when it has ended or the epoch is stale."""
        return await execute(self._tx, _SQL["adopt"], tenant_id=self._tenant, id=turn_id, epoch=epoch, state=state) == 1

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
        """Close an open turn. Raises StaleEpoch when it is not open under this epoch, or has an answer already."""
        try:
            row = await fetch_one(
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
        except UniqueViolation as error:
            raise StaleEpoch from error
        if row is None:
            raise StaleEpoch

    async def add_answer(
        self,
        turn_id: TurnId,
        session_id: SessionId,
        message_id: MessageId,
        answer: str,
        citations: tuple[Citation, ...],
    ) -> None:
        """Store the assistant's message with its citations; `end`, which must follow, says when it has one already."""
        cipher = await cipher_of(self._tx, self._tenant)
        await queue(
            self._tx,
            _SQL["insert_answer"],
            tenant_id=self._tenant,
            id=message_id,
            session_id=session_id,
            turn_id=turn_id,
            sealed=seal_content(cipher, session_id, message_id, answer),
        )
        for citation in citations:
            texts = (citation.document_name, citation.section, citation.snippet)
            await queue(
                self._tx,
                _SQL["insert_citation"],
                tenant_id=self._tenant,
                message_id=message_id,
                position=citation.position,
                document_id=citation.document_id,
                page=citation.page,
                span_start=citation.start,
                span_end=citation.end,
                sealed=seal_citation(cipher, session_id, message_id, citation.position, texts),
            )


def _raise_refusal(row: DictRow, question: Question) -> None:
    """Raise what stands against the question, if anything does."""
    if row["chatbot_id"] is None:
        raise NotFound("There is no such session.")
    if row["closed_at"] is not None:
        raise SessionClosed
    if not row["consented"]:
        raise ConsentRequired
    if (question.edits or question.regenerates) and row["origin_id"] is None:
        raise NotFound("There is no such message in this session.")


def _stored(
    row: DictRow,
    place: tuple[TurnId, SessionId, int],
    question: str,
    history: list[DictRow],
    cipher: TenantCipher,
    versions: Versions | None = None,
) -> StoredTurn:
    """`place` is the turn, its session and its epoch."""
    turn_id, session_id, epoch = place
    return StoredTurn(
        id=turn_id,
        session_id=session_id,
        chatbot_id=row["chatbot_id"],
        epoch=epoch,
        question=question,
        config=ChatbotConfig.model_validate(row["config"]),
        said=said_of(cipher, session_id, history),
        audience=audience_of(cipher, row),
        knowledge=Knowledge(row["knowledge_generation"], row["knowledge_model"] or ""),
        visitor_id=row["visitor_id"],
        cipher=cipher,
        versions=versions,
        visitor_name=row.get("visitor_name"),
    )
