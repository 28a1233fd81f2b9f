"""What readers think of answers: one rating per answer, with a comment."""

from dataclasses import dataclass
from datetime import datetime

from domain.conversation import Feedback, Rating
from domain.ids import ChatbotId, MessageId, SessionId, TenantId, TurnId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.sealed_columns import comment_of, content_of, seal_comment
from storage.postgres.tenant_keys import cipher_of

_SQL = load("feedback")
BEGINNING_CHARS = 300


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
        sealed = seal_comment(await cipher_of(self._tx, tenant_id), message_id, comment)
        row = await fetch_one(
            self._tx, _SQL["put"], tenant_id=tenant_id, message_id=message_id, rating=rating, sealed_comment=sealed
        )
        assert row is not None
        return Feedback(Rating(row["rating"]), comment, row["updated_at"])

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
        cipher = await cipher_of(self._tx, tenant_id)
        found = []
        for row in rows:
            session, question, answer = row["session_id"], row["question_id"], row["message_id"]
            found.append(
                RatedAnswer(
                    message_id=answer,
                    session_id=session,
                    turn_id=row["turn_id"],
                    rating=Rating(row["rating"]),
                    comment=comment_of(cipher, answer, row["sealed_comment"], row["comment"]),
                    question=content_of(cipher, session, question, row["sealed_question"], row["question"])[
                        :BEGINNING_CHARS
                    ],
                    answer=content_of(cipher, session, answer, row["sealed_answer"], row["answer"])[:BEGINNING_CHARS],
                    created_at=row["created_at"],
                    updated_at=row["updated_at"],
                )
            )
        return found
