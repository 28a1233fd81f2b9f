"""Question sets: their rows, and their questions, which are sealed."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from domain.errors import Conflict, NotFound, Unprocessable
from domain.ids import ChatbotId, QuestionId, QuestionSetId, TenantId, new_uuid
from domain.question_set import (
    MAX_QUESTIONS,
    MAX_SETS,
    ExpectedPassage,
    NewQuestion,
    QuestionSet,
    QuestionSource,
    QuestionSpec,
    StoredQuestion,
)
from domain.sealing import expected_place, question_place
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.tenant_keys import cipher_of

_SQL = load("question_sets")
_MISSING = "There is no such question set."


class QuestionSets:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(self, tenant_id: TenantId, chatbot_id: ChatbotId, name: str) -> QuestionSet:
        """An empty set of a bot whose row is locked. Raises Conflict when the bot has MAX_SETS."""
        row = await fetch_one(self._tx, _SQL["count"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        if row and row["total"] >= MAX_SETS:
            raise Conflict(f"A chatbot has at most {MAX_SETS} question sets.")
        made = QuestionSetId(new_uuid())
        await execute(self._tx, _SQL["insert"], tenant_id=tenant_id, chatbot_id=chatbot_id, id=made, name=name)
        return await self.get(tenant_id, chatbot_id, made)

    async def get(self, tenant_id: TenantId, chatbot_id: ChatbotId, set_id: QuestionSetId) -> QuestionSet:
        """Raises NotFound."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, chatbot_id=chatbot_id, id=set_id)
        if row is None:
            raise NotFound(_MISSING)
        return QuestionSet(**row)

    async def locked(self, tenant_id: TenantId, chatbot_id: ChatbotId, set_id: QuestionSetId) -> QuestionSet:
        """Held until the transaction ends. Raises NotFound."""
        values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id, "id": set_id}
        if await fetch_one(self._tx, _SQL["lock"], **values) is None:
            raise NotFound(_MISSING)
        return await self.get(tenant_id, chatbot_id, set_id)

    async def list_all(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> list[QuestionSet]:
        """The bot's, oldest first."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return [QuestionSet(**row) for row in rows]

    async def delete(self, tenant_id: TenantId, set_id: QuestionSetId) -> None:
        """With its questions and what was answered to them. Raises Conflict while a publish gate asks it."""
        if await fetch_one(self._tx, _SQL["is_gate"], tenant_id=tenant_id, id=set_id):
            raise Conflict("The publish gate asks these questions; change or remove the gate first.")
        await execute(self._tx, _SQL["delete"], tenant_id=tenant_id, id=set_id)

    async def add(self, question_set: QuestionSet, questions: Sequence[NewQuestion]) -> int:
        """Add those that the set, which must be locked, does not have yet; how many that were.

        Raises Unprocessable for more than MAX_QUESTIONS in all, and for a document that the bot does not have.
        """
        tenant_id = question_set.tenant_id
        await self._require_documents(question_set, questions)
        known = {stored.spec.key for stored in await self.questions(tenant_id, question_set.id, MAX_QUESTIONS)}
        fresh: list[NewQuestion] = []
        for question in questions:
            if question.spec.key not in known:
                known.add(question.spec.key)
                fresh.append(question)
        if len(known) > MAX_QUESTIONS:
            raise Unprocessable(f"A question set holds at most {MAX_QUESTIONS:,} questions.")
        if fresh:
            try:
                await self._insert(question_set, fresh)
            except ForeignKeyViolation as error:
                raise Conflict("A document or a conversation was deleted just now; try again.") from error
            await execute(self._tx, _SQL["touch"], tenant_id=tenant_id, id=question_set.id)
        return len(fresh)

    async def questions(
        self, tenant_id: TenantId, set_id: QuestionSetId, limit: int, after: UUID | None = None
    ) -> list[StoredQuestion]:
        """Up to `limit` after a question, in the order in which they were added. Raises Unreadable."""
        values = {"tenant_id": tenant_id, "question_set_id": set_id, "after": after, "limit": limit}
        return await self._opened(tenant_id, await fetch_all(self._tx, _SQL["questions"], **values))

    async def by_id(self, tenant_id: TenantId, ids: Sequence[QuestionId]) -> dict[QuestionId, StoredQuestion]:
        """Those that are still there. Raises Unreadable."""
        rows = await fetch_all(self._tx, _SQL["questions_by_id"], tenant_id=tenant_id, ids=list(ids))
        return {question.id: question for question in await self._opened(tenant_id, rows)}

    async def delete_question(self, question_set: QuestionSet, question_id: QuestionId) -> None:
        """Raises NotFound."""
        values = {"tenant_id": question_set.tenant_id, "question_set_id": question_set.id}
        if not await execute(self._tx, _SQL["delete_question"], **values, id=question_id):
            raise NotFound("There is no such question.")
        await execute(self._tx, _SQL["touch"], tenant_id=question_set.tenant_id, id=question_set.id)

    async def _require_documents(self, question_set: QuestionSet, questions: Sequence[NewQuestion]) -> None:
        ids = {one.document_id for question in questions for one in question.spec.passages if one.document_id}
        if not ids:
            return
        values = {"tenant_id": question_set.tenant_id, "chatbot_id": question_set.chatbot_id, "ids": list(ids)}
        known = {row["id"] for row in await fetch_all(self._tx, _SQL["known_documents"], **values)}
        if missing := sorted(str(one) for one in ids - known):
            raise Unprocessable(f"The chatbot has no document with the id {missing[0]}.")

    async def _insert(self, question_set: QuestionSet, questions: Sequence[NewQuestion]) -> None:
        tenant_id = question_set.tenant_id
        cipher = await cipher_of(self._tx, tenant_id)
        ids = [QuestionId(new_uuid()) for _ in questions]
        # Ids of one millisecond are in no order of their own.
        ids.sort()
        await execute(
            self._tx,
            _SQL["insert_questions"],
            tenant_id=tenant_id,
            question_set_id=question_set.id,
            ids=ids,
            sources=[question.source.value for question in questions],
            ratings=[question.rating for question in questions],
            answerable=[question.spec.answerable for question in questions],
            session_ids=[question.session_id for question in questions],
            sealed=[seal_question(cipher, one, made.spec) for one, made in zip(ids, questions, strict=True)],
        )
        placed = [
            (question_id, position, passage)
            for question_id, question in zip(ids, questions, strict=True)
            for position, passage in enumerate(question.spec.passages, 1)
        ]
        if placed:
            await execute(
                self._tx,
                _SQL["insert_passages"],
                tenant_id=tenant_id,
                question_ids=[question_id for question_id, _, _ in placed],
                positions=[position for _, position, _ in placed],
                document_ids=[passage.document_id for _, _, passage in placed],
                starts=[passage.start for _, _, passage in placed],
                ends=[passage.end for _, _, passage in placed],
                sealed=[seal_expected(cipher, *one) for one in placed],
            )

    async def _opened(self, tenant_id: TenantId, rows: list[DictRow]) -> list[StoredQuestion]:
        if not rows:
            return []
        cipher = await cipher_of(self._tx, tenant_id)
        found: dict[UUID, list[ExpectedPassage]] = {}
        ids = [row["id"] for row in rows]
        for row in await fetch_all(self._tx, _SQL["passages_of"], tenant_id=tenant_id, question_ids=ids):
            found.setdefault(row["question_id"], []).append(expected_of(cipher, row))
        return [
            StoredQuestion(
                id=QuestionId(row["id"]),
                spec=QuestionSpec(
                    **question_fields(cipher, QuestionId(row["id"]), row["sealed"]),
                    passages=tuple(found.get(row["id"], ())),
                    answerable=row["answerable"],
                ),
                source=QuestionSource(row["source"]),
                rating=row["rating"],
                created_at=row["created_at"],
            )
            for row in rows
        ]


def seal_question(cipher: TenantCipher, question_id: QuestionId, spec: QuestionSpec) -> bytes:
    fields = spec.model_dump(mode="json", include={"question", "history", "answers"})
    return cipher.seal_text(question_place(question_id), json.dumps(fields, ensure_ascii=False))


def question_fields(cipher: TenantCipher, question_id: QuestionId, sealed: bytes) -> dict[str, Any]:
    """`question`, `history` and `answers`. Raises Unreadable."""
    fields: dict[str, Any] = json.loads(cipher.open_text(question_place(question_id), sealed))
    return fields


def seal_expected(cipher: TenantCipher, question_id: QuestionId, position: int, passage: ExpectedPassage) -> bytes:
    texts = (passage.document, passage.snippet)
    return cipher.seal_text(expected_place(question_id, position), json.dumps(texts, ensure_ascii=False))


def expected_texts(cipher: TenantCipher, row: DictRow) -> tuple[str | None, str | None]:
    """The document's name and the snippet. Raises Unreadable."""
    place = expected_place(QuestionId(row["question_id"]), row["position"])
    name, snippet = json.loads(cipher.open_text(place, row["sealed"]))
    return name, snippet


def expected_of(cipher: TenantCipher, row: DictRow) -> ExpectedPassage:
    """From a row of `expected_passages`. Raises Unreadable."""
    name, snippet = expected_texts(cipher, row)
    return ExpectedPassage(
        document_id=row["document_id"],
        document=name,
        start=row["span_start"],
        end=row["span_end"],
        snippet=snippet,
    )
