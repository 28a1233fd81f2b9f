"""Questions that people asked a bot, with what is to be expected of an answer where the reader liked the first one."""

import re
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from psycopg.rows import DictRow
from pydantic import ValidationError

from domain.ids import ChatbotId, SessionId, TenantId
from domain.question_set import ExpectedPassage, NewQuestion, QuestionSource, QuestionSpec, Said
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.queries import load
from storage.postgres.sealed_columns import citation_of, content_of
from storage.postgres.tenant_keys import cipher_of

_SQL = load("question_sets")
EXCHANGES = 3
"""Of the conversation before a question: what a follow-up refers to."""
LONGEST_SAID = 4_000
LONGEST_ANSWER = 2_000
NOTHING_FOUND = "no relevant passage"
"""What the turn of an answer says when the documents had none (domain/turn.py)."""
_MARK = re.compile(r"\s*\[\d{1,3}\]")

Drawn = Literal["up", "down", "rated", "all"]


async def draw(
    tx: Transaction, tenant_id: TenantId, chatbot_id: ChatbotId, rating: Drawn, limit: int
) -> list[NewQuestion]:
    """The bot's last answered questions, newest first, without whose they were.

    The answer and its citations are expected again only where the reader rated them up. Raises Unreadable.
    """
    values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id}
    rows = await fetch_all(tx, _SQL["candidates"], **values, rating=rating, limit=limit)
    if not rows:
        return []
    cipher = await cipher_of(tx, tenant_id)
    histories = await _histories(tx, cipher, [row["turn_id"] for row in rows])
    liked = [row["answer_id"] for row in rows if row["rating"] == "up"]
    passages = await _passages(tx, cipher, liked)
    found = []
    for row in rows:
        try:
            spec = _spec(cipher, row, histories.get(row["turn_id"], []), passages.get(row["answer_id"], []))
        except ValidationError:
            continue  # longer than a question of a set may be
        found.append(NewQuestion(spec, QuestionSource.CONVERSATION, row["rating"], SessionId(row["session_id"])))
    return found


def _spec(
    cipher: TenantCipher, row: DictRow, history: Sequence[Said], passages: Sequence[ExpectedPassage]
) -> QuestionSpec:
    session_id = SessionId(row["session_id"])
    question = content_of(cipher, session_id, row["question_id"], row["sealed_question"], row["question"])
    if row["rating"] != "up":
        return QuestionSpec(question=question, history=tuple(history))
    if row["plan_reason"] == NOTHING_FOUND:
        return QuestionSpec(question=question, history=tuple(history), answerable=False)
    answer = content_of(cipher, session_id, row["answer_id"], row["sealed_answer"], row["answer"])
    answer = _MARK.sub("", answer).strip()[:LONGEST_ANSWER]
    return QuestionSpec(
        question=question,
        history=tuple(history),
        answers=(answer,) if answer else (),
        passages=tuple(passages),
    )


async def _histories(tx: Transaction, cipher: TenantCipher, turn_ids: Sequence[UUID]) -> dict[UUID, list[Said]]:
    rows = await fetch_all(
        tx, _SQL["histories"], tenant_id=cipher.tenant_id, turn_ids=list(turn_ids), exchanges=EXCHANGES
    )
    found: dict[UUID, list[Said]] = {}
    for row in rows:
        session_id = SessionId(row["session_id"])
        asked = content_of(cipher, session_id, row["question_id"], row["sealed_question"], row["question"])
        said = content_of(cipher, session_id, row["answer_id"], row["sealed_answer"], row["answer"])
        if asked.strip() and said.strip():
            found.setdefault(row["leaf"], []).extend(
                (
                    Said(role="user", content=asked[:LONGEST_SAID]),
                    Said(role="assistant", content=said[:LONGEST_SAID]),
                )
            )
    return found


async def _passages(
    tx: Transaction, cipher: TenantCipher, answers: Sequence[UUID]
) -> dict[UUID, list[ExpectedPassage]]:
    rows = await fetch_all(tx, _SQL["citations_of"], tenant_id=cipher.tenant_id, message_ids=list(answers))
    found: dict[UUID, list[ExpectedPassage]] = {}
    for row in rows:
        cited = citation_of(cipher, SessionId(row["session_id"]), row["message_id"], row)
        if cited.start < cited.end and cited.snippet.strip():
            expected = ExpectedPassage(
                document_id=cited.document_id, start=cited.start, end=cited.end, snippet=cited.snippet
            )
            found.setdefault(row["message_id"], []).append(expected)
    return found
