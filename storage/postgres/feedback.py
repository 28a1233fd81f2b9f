"""What readers think of answers: one rating per answer, with a comment."""

from dataclasses import dataclass
from datetime import datetime

from domain.conversation import Feedback, Rating
from domain.ids import ChatbotId, MessageId, SessionId, TenantId, TurnId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("feedback")


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """A rating with the beginnings of the question and of the answer."""

    message_id: MessageId
    session_id: SessionId
    turn_id: TurnId
    rating: Rating
    comment: str
    question: str
    answer: str
    created_at: datetime
    updated_at: datetime


class Ratings:
    """The caller has checked that the message is an answer."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def put(self, tenant_id: TenantId, message_id: MessageId, rating: Rating, comment: str) -> Feedback:
        """Rate the answer; an earlier rating of it is replaced."""
        row = await fetch_one(
            self._tx, _SQL["put"], tenant_id=tenant_id, message_id=message_id, rating=rating, comment=comment
        )
        assert row is not None
        return Feedback(Rating(row["rating"]), row["comment"], row["updated_at"])

    async def delete(self, tenant_id: TenantId, message_id: MessageId) -> None:
        """Without a rating there is nothing to do."""
        await execute(self._tx, _SQL["delete"], tenant_id=tenant_id, message_id=message_id)

    async def list_page(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        limit: int,
        before: tuple[datetime, MessageId] | None = None,
    ) -> list[RatedAnswer]:
        """Up to `limit` ratings of the bot, the last given first, older than `before`."""
        before_at, before_id = before or (None, None)
        rows = await fetch_all(
            self._tx,
            _SQL["list"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            limit=limit,
            before_at=before_at,
            before_id=before_id,
        )
        return [RatedAnswer(**{**row, "rating": Rating(row["rating"])}) for row in rows]
