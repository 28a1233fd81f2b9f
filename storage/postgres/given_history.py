"""Stores exchanges that a caller brings along as completed turns of a session, so that its next turn remembers them."""

from collections.abc import Sequence

from domain.ids import MessageId, SessionId, TenantId, new_uuid
from storage.postgres.database import Transaction, execute
from storage.postgres.queries import load
from storage.postgres.sealed_columns import seal_content
from storage.postgres.tenant_keys import cipher_of

_SQL = load("given_history")


async def add_exchanges(
    tx: Transaction, tenant_id: TenantId, session_id: SessionId, exchanges: Sequence[tuple[str, str]]
) -> None:
    """Questions with their answers, oldest first, behind what the session has."""
    cipher = await cipher_of(tx, tenant_id)
    for question, answer in exchanges:
        question_id, answer_id = MessageId(new_uuid()), MessageId(new_uuid())
        turn_id = new_uuid()
        await execute(
            tx,
            _SQL["add_exchange"],
            tenant_id=tenant_id,
            session_id=session_id,
            turn_id=turn_id,
            client_id=str(turn_id),
            question_id=question_id,
            answer_id=answer_id,
            question=seal_content(cipher, session_id, question_id, question),
            answer=seal_content(cipher, session_id, answer_id, answer),
        )
