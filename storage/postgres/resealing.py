"""Rows in clear, from before encryption, and rows of an older key: sealed with the key of today, batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from domain.ids import DocumentId, TenantId
from domain.sealing import (
    attributes_place,
    expected_place,
    question_place,
    result_place,
    summary_place,
    trace_place,
)
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, fetch_all, fetch_one, queue
from storage.postgres.queries import load
from storage.postgres.sealed_columns import (
    citation_of,
    comment_of,
    content_of,
    seal_citation,
    seal_comment,
    seal_content,
    seal_title,
    title_of,
)

_SQL = load("resealing")
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call did; `last` is where the next one goes on, None when there is no more."""

    rows: int
    last: tuple[UUID, int] | None


@dataclass(frozen=True, slots=True)
class StaleDocument:
    id: DocumentId
    sealed_version: int | None


async def tenants_to_reseal(tx: Transaction) -> list[TenantId]:
    """Who has something to seal; needs a system transaction."""
    return [TenantId(row["tenant_id"]) for row in await fetch_all(tx, _SQL["tenants"])]


class Resealing:
    """In the tenant's transaction. A row that somebody changed meanwhile is left for the next pass.

    Every batch raises Unreadable for a row that does not open.
    """

    def __init__(self, tx: Transaction, cipher: TenantCipher, limit: int = 200) -> None:
        self._tx = tx
        self._cipher = cipher
        self._limit = limit
        self._number = cipher.version
        self._values: dict[str, Any] = {"tenant_id": cipher.tenant_id, "version": self._number.to_bytes(4, "big")}

    async def messages(self, after: tuple[UUID, int]) -> Batch:
        rows, cipher = await self._stale("stale_messages", after=after[0]), self._cipher
        for row in rows:
            session, message = row["session_id"], row["id"]
            text = content_of(cipher, session, message, row["sealed"], row["content"])
            sealed = seal_content(cipher, session, message, text)
            await self._put("put_message", id=message, sealed=sealed, before=row["sealed"])
        return self._batch([(row["id"], 0) for row in rows])

    async def citations(self, after: tuple[UUID, int]) -> Batch:
        rows, cipher = await self._stale("stale_citations", after=after[0], after_position=after[1]), self._cipher
        for row in rows:
            session, message, position = row["session_id"], row["message_id"], row["position"]
            cited = citation_of(cipher, session, message, row)
            texts = (cited.document_name, cited.section, cited.snippet)
            sealed = seal_citation(cipher, session, message, position, texts)
            await self._put("put_citation", message_id=message, position=position, sealed=sealed, before=row["sealed"])
        return self._batch([(row["message_id"], row["position"]) for row in rows])

    async def sessions(self, after: tuple[UUID, int]) -> Batch:
        rows, cipher = await self._stale("stale_sessions", after=after[0]), self._cipher
        for row in rows:
            title = title_of(cipher, row["id"], row["sealed_title"], row["title"])
            sealed = seal_title(cipher, row["id"], title)
            await self._put("put_session", id=row["id"], sealed=sealed, before=row["sealed_title"], title=row["title"])
        return self._batch([(row["id"], 0) for row in rows])

    async def feedback(self, after: tuple[UUID, int]) -> Batch:
        rows, cipher = await self._stale("stale_feedback", after=after[0]), self._cipher
        for row in rows:
            comment = comment_of(cipher, row["id"], row["sealed_comment"], row["comment"])
            sealed = seal_comment(cipher, row["id"], comment)
            await self._put(
                "put_feedback", id=row["id"], sealed=sealed, before=row["sealed_comment"], comment=row["comment"]
            )
        return self._batch([(row["id"], 0) for row in rows])

    async def summaries(self, after: tuple[UUID, int]) -> Batch:
        return await self._anew("summary", after, ("id",), lambda row: summary_place(row["session_id"], row["id"]))

    async def visitors(self, after: tuple[UUID, int]) -> Batch:
        return await self._anew("visitor", after, ("id",), lambda row: attributes_place(row["id"]))

    async def questions(self, after: tuple[UUID, int]) -> Batch:
        return await self._anew("question", after, ("id",), lambda row: question_place(row["id"]))

    async def expected_passages(self, after: tuple[UUID, int]) -> Batch:
        names = ("question_id", "position")
        return await self._anew(
            "expected", after, names, lambda row: expected_place(row["question_id"], row["position"])
        )

    async def results(self, after: tuple[UUID, int]) -> Batch:
        names = ("evaluation_id", "question_id")
        return await self._anew(
            "result", after, names, lambda row: result_place(row["evaluation_id"], row["question_id"])
        )

    async def traces(self, after: tuple[UUID, int]) -> Batch:
        return await self._anew("trace", after, ("turn_id",), lambda row: trace_place(row["turn_id"]))

    async def lock_document(self, after: UUID) -> StaleDocument | None:
        """The next document whose files are to be sealed, held until the transaction ends."""
        row = await fetch_one(
            self._tx,
            _SQL["lock_stale_document"],
            tenant_id=self._cipher.tenant_id,
            after=after,
            version=self._number,
        )
        return StaleDocument(DocumentId(row["id"]), row["sealed_version"]) if row else None

    async def mark_document(self, document_id: DocumentId) -> None:
        """Its files are sealed with the key of today."""
        await queue(
            self._tx,
            _SQL["put_document"],
            tenant_id=self._cipher.tenant_id,
            id=document_id,
            version=self._number,
        )

    async def settled(self, seconds: float) -> bool:
        """Whether nothing needs an older version any more, and none has been used for `seconds`."""
        row = await fetch_one(self._tx, _SQL["settled"], **self._values, number=self._number, seconds=seconds)
        return row is not None and bool(row["settled"])

    async def _anew(
        self, noun: str, after: tuple[UUID, int], names: tuple[str, ...], place_of: Callable[[DictRow], str]
    ) -> Batch:
        """Of a table that was never in clear; `names` are its key beside the tenant."""
        values = {"after": after[0], "after_position": after[1]}
        plural = {"expected": "expected", "summary": "summaries"}.get(noun, f"{noun}s")
        rows, cipher = await self._stale(f"stale_{plural}", **values), self._cipher
        for row in rows:
            place = place_of(row)
            sealed = cipher.seal(place, cipher.open(place, row["sealed"]))
            await self._put(f"put_{noun}", sealed=sealed, before=row["sealed"], **{name: row[name] for name in names})
        return self._batch([(row[names[0]], row.get("position", 0)) for row in rows])

    async def _stale(self, name: str, **values: Any) -> list[Any]:
        return await fetch_all(self._tx, _SQL[name], **self._values, limit=self._limit, **values)

    async def _put(self, name: str, **values: Any) -> None:
        await queue(self._tx, _SQL[name], tenant_id=self._cipher.tenant_id, **values)

    def _batch(self, places: list[tuple[UUID, int]]) -> Batch:
        return Batch(len(places), places[-1] if len(places) == self._limit else None)
