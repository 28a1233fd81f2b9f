"""What the checks of turns found, and the queue of messages that a person looks at because of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from psycopg.types.json import Jsonb

from domain.errors import Conflict, NotFound
from domain.guarding.report import REVIEWED, GuardReport
from domain.ids import ChatbotId, MessageId, SessionId, TenantId, TurnId, UserId, new_uuid
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("reviews")


class ReviewState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Review:
    """A message that a check found, by its ids: the queue holds no text of it."""

    id: UUID
    chatbot_id: ChatbotId
    session_id: SessionId
    turn_id: TurnId
    message_id: MessageId
    place: str
    check_name: str
    outcome: str
    score: float
    state: ReviewState
    note: str
    decided_by: UserId | None
    decided_at: datetime | None
    created_at: datetime


class Reviews:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def record(self, turn_id: TurnId, report: GuardReport, answer_id: MessageId | None = None) -> None:
        """Write down what the checks of a turn found, before it ends; nothing for most turns."""
        if not report.notes:
            return
        notes = Jsonb(report.as_json())
        await queue(
            self._tx, _SQL["note"], tenant_id=self._tenant, turn_id=turn_id, verdict=report.verdict, notes=notes
        )
        for note in report.notes:
            if note.outcome in REVIEWED:
                await queue(
                    self._tx,
                    _SQL["insert"],
                    tenant_id=self._tenant,
                    id=new_uuid(),
                    turn_id=turn_id,
                    answer_id=answer_id,
                    place=note.place,
                    check_name=note.check,
                    outcome=note.outcome,
                    score=note.score,
                )

    async def list_page(self, limit: int, state: ReviewState | None = None, before: UUID | None = None) -> list[Review]:
        """Up to `limit`, the newest first, older than `before`."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=self._tenant, limit=limit, state=state, before=before)
        return [Review(**{**row, "state": ReviewState(row["state"])}) for row in rows]

    async def decide(self, review_id: UUID, state: ReviewState, user_id: UserId, note: str) -> Review:
        """Raises NotFound, and Conflict for one that was decided before."""
        locked = await fetch_one(self._tx, _SQL["lock"], tenant_id=self._tenant, id=review_id)
        if locked is None:
            raise NotFound("There is no such review.")
        row = await fetch_one(
            self._tx, _SQL["decide"], tenant_id=self._tenant, id=review_id, state=state, user_id=user_id, note=note
        )
        if row is None:
            raise Conflict("Somebody has decided this already.")
        return Review(**{**row, "state": ReviewState(row["state"])})

    async def withhold(self, message_id: MessageId) -> bool:
        """Take a message out of its conversation; False when it was."""
        await queue(self._tx, _SQL["lock_session"], tenant_id=self._tenant, message_id=message_id)
        return await execute(self._tx, _SQL["withhold"], tenant_id=self._tenant, message_id=message_id) == 1
