"""Turns as they are stored, for readers that come back."""

from dataclasses import dataclass

from domain.conversation import Citation, TurnState
from domain.errors import NotFound
from domain.generation import Usage
from domain.ids import MessageId, SessionId, TenantId, TurnId
from storage.postgres.database import Transaction, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.sealed_columns import citation_of, content_of
from storage.postgres.tenant_keys import cipher_of

_SQL = load("turns")


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn as it is stored; `message_id` is None when it has no answer."""

    id: TurnId
    epoch: int
    state: TurnState
    model: str
    error_code: str | None
    message_id: MessageId | None
    answer: str
    citations: tuple[Citation, ...]
    usage: Usage
    guard: str | None = None
    """The verdict of the bot's checks."""
    plan_reason: str | None = None


async def ended_turn(tx: Transaction, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId) -> EndedTurn:
    """Raises NotFound for a turn that this session does not have."""
    row = await fetch_one(tx, _SQL["ended_turn"], tenant_id=tenant_id, session_id=session_id, id=turn_id)
    if row is None:
        raise NotFound("There is no such turn.")
    answer, message_id = "", row["message_id"]
    citations: tuple[Citation, ...] = ()
    if message_id is not None and row["withheld_at"] is None:
        cipher = await cipher_of(tx, tenant_id)
        answer = content_of(cipher, session_id, message_id, row["sealed"], row["content"])
        rows = await fetch_all(tx, _SQL["citations_of"], tenant_id=tenant_id, message_id=message_id)
        citations = tuple(citation_of(cipher, session_id, message_id, cited) for cited in rows)
    return EndedTurn(
        id=row["id"],
        epoch=row["epoch"],
        state=TurnState(row["state"]),
        model=row["model"] or "",
        error_code=row["error_code"],
        message_id=message_id,
        answer=answer,
        citations=citations,
        usage=Usage(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]),
        guard=row["guard_verdict"],
        plan_reason=row["plan_reason"],
    )
