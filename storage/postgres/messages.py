"""Messages of a session: a tree of turns, listed branch by branch, and who has received the answers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow

from domain.conversation import Citation, Feedback, Message, MessageRole, Rating, TurnState
from domain.errors import InvalidInput, NotFound, Unprocessable
from domain.generation import Usage
from domain.ids import MessageId, SessionId, TenantId, TurnId
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.sealed_columns import citation_of, comment_of, content_of
from storage.postgres.tenant_keys import cipher_of

_SQL = load("messages")
MAX_BRANCHES = 200
PREVIEW_CHARS = 80


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a branch ended: at the question or at the answer of a turn."""

    turn_id: TurnId
    role: MessageRole


@dataclass(frozen=True, slots=True)
class Branch:
    """A way through the session, named by its last turn."""

    turn_id: TurnId
    messages: int
    preview: str
    """The beginning of the last question."""
    created_at: datetime


class Messages:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def mark_delivered(self, tenant_id: TenantId, session_id: SessionId, message_id: MessageId) -> int:
        """Mark this answer and every earlier one as received; how many were not. 0 for what is no answer here."""
        return await execute(
            self._tx, _SQL["mark_delivered"], tenant_id=tenant_id, session_id=session_id, id=message_id
        )

    async def undelivered(
        self, tenant_id: TenantId, session_id: SessionId, limit: int = 20
    ) -> list[tuple[TurnId, MessageId]]:
        """Answers that nobody has confirmed yet, oldest first."""
        rows = await fetch_all(self._tx, _SQL["undelivered"], tenant_id=tenant_id, session_id=session_id, limit=limit)
        return [(TurnId(row["turn_id"]), MessageId(row["id"])) for row in rows]

    async def require_answer(self, tenant_id: TenantId, session_id: SessionId, message_id: MessageId) -> DictRow:
        """Raises NotFound for what is no message of the session, Unprocessable for a question."""
        row = await fetch_one(self._tx, _SQL["role_of"], tenant_id=tenant_id, session_id=session_id, id=message_id)
        if row is None:
            raise NotFound("There is no such message.")
        if row["role"] != MessageRole.ASSISTANT:
            raise Unprocessable("This is a question; only answers are rated and received.")
        return row

    async def answer_text(self, tenant_id: TenantId, session_id: SessionId, message_id: MessageId) -> str:
        """What was said. Raises the same."""
        row = await self.require_answer(tenant_id, session_id, message_id)
        cipher = await cipher_of(self._tx, tenant_id)
        return content_of(cipher, session_id, message_id, row["sealed"], row["content"])

    async def newest_leaf(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId) -> TurnId:
        """The last turn of the youngest branch that goes through `turn_id`. Raises NotFound."""
        row = await fetch_one(
            self._tx, _SQL["newest_leaf"], tenant_id=tenant_id, session_id=session_id, turn_id=turn_id
        )
        if row is None:
            raise NotFound("There is no such turn.")
        return TurnId(row["id"])

    async def branches(self, tenant_id: TenantId, session_id: SessionId) -> list[Branch]:
        """The branches of the session, newest first, at most MAX_BRANCHES."""
        rows = await fetch_all(
            self._tx, _SQL["branches"], tenant_id=tenant_id, session_id=session_id, limit=MAX_BRANCHES
        )
        cipher = await cipher_of(self._tx, tenant_id)
        return [
            Branch(
                TurnId(row["turn_id"]),
                row["messages"],
                content_of(cipher, session_id, row["message_id"], row["sealed"], row["content"])[:PREVIEW_CHARS],
                row["created_at"],
            )
            for row in rows
        ]

    async def list_page(
        self, tenant_id: TenantId, session_id: SessionId, leaf: TurnId, limit: int, after: Place | None = None
    ) -> list[Message]:
        """Up to `limit` messages of the branch that ends with `leaf`, oldest first, beginning after a place in it.

        A message carries the turn of the branch that it is listed for. Raises InvalidInput when the place is not
        on the branch.
        """
        rows = await fetch_all(self._tx, _SQL["branch"], tenant_id=tenant_id, session_id=session_id, leaf=leaf)
        branch = [TurnId(row["id"]) for row in rows]
        if after is not None:
            if after.turn_id not in branch:
                raise InvalidInput("The cursor belongs to another branch; list from the beginning.")
            branch = branch[branch.index(after.turn_id) :]
        # Every turn has a question, so one turn per message and the one before them are enough.
        order = {turn_id: number for number, turn_id in enumerate(branch[: limit + 1])}
        found = await self._of_turns(tenant_id, session_id, list(order))
        found.sort(key=lambda message: (order[message.turn_id], message.role is MessageRole.ASSISTANT))
        if after is not None:
            seen = 1 if after.role is MessageRole.USER else sum(item.turn_id == after.turn_id for item in found)
            found = found[seen:]
        return found[:limit]

    async def citation(
        self, tenant_id: TenantId, session_id: SessionId, message_id: MessageId, position: int
    ) -> Citation:
        """One of the sources of an answer. Raises NotFound, also for an answer that was withheld."""
        row = await fetch_one(
            self._tx,
            _SQL["citation"],
            tenant_id=tenant_id,
            session_id=session_id,
            message_id=message_id,
            position=position,
        )
        if row is None:
            raise NotFound("The answer has no such source.")
        return citation_of(await cipher_of(self._tx, tenant_id), session_id, message_id, row)

    async def _of_turns(self, tenant_id: TenantId, session_id: SessionId, turn_ids: Sequence[TurnId]) -> list[Message]:
        rows = await fetch_all(
            self._tx, _SQL["messages_of"], tenant_id=tenant_id, session_id=session_id, turn_ids=turn_ids
        )
        parents = {row["parent_turn_id"] for row in rows}
        siblings = await fetch_all(
            self._tx,
            _SQL["versions_of"],
            tenant_id=tenant_id,
            session_id=session_id,
            parents=list(parents - {None}),
            roots=None in parents,
        )
        versions = {row["parent_turn_id"]: tuple(TurnId(version) for version in row["versions"]) for row in siblings}
        cipher = await cipher_of(self._tx, tenant_id)
        citations = await self._citations(
            cipher,
            session_id,
            [row["id"] for row in rows if row["role"] == MessageRole.ASSISTANT and row["withheld_at"] is None],
        )
        return [_message(cipher, row, versions[row["parent_turn_id"]], tuple(citations[row["id"]])) for row in rows]

    async def _citations(
        self, cipher: TenantCipher, session_id: SessionId, answers: list[UUID]
    ) -> defaultdict[UUID, list[Citation]]:
        found: defaultdict[UUID, list[Citation]] = defaultdict(list)
        for row in await fetch_all(self._tx, _SQL["citations_of"], tenant_id=cipher.tenant_id, message_ids=answers):
            found[row["message_id"]].append(citation_of(cipher, session_id, row["message_id"], row))
        return found


def _message(
    cipher: TenantCipher, row: DictRow, versions: tuple[TurnId, ...], citations: tuple[Citation, ...]
) -> Message:
    used, message_id, session_id = row["prompt_tokens"] is not None, MessageId(row["id"]), SessionId(row["session_id"])
    withheld = row["withheld_at"] is not None
    feedback = None
    if row["rating"] is not None:
        comment = comment_of(cipher, message_id, row["sealed_comment"], row["comment"])
        feedback = Feedback(Rating(row["rating"]), comment, row["rated_at"])
    return Message(
        id=message_id,
        session_id=session_id,
        turn_id=TurnId(row["turn_id"]),
        role=MessageRole(row["role"]),
        content="" if withheld else content_of(cipher, session_id, message_id, row["sealed"], row["content"]),
        client_id=row["client_id"],
        state=TurnState(row["state"]),
        parent_turn_id=row["parent_turn_id"],
        versions=versions,
        citations=citations,
        usage=Usage(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) if used else None,
        feedback=feedback,
        delivered_at=row["delivered_at"],
        created_at=row["created_at"],
        withheld=withheld,
    )
