"""The rows of what is erased: found, counted and removed, within one transaction of the caller."""

from uuid import UUID

from psycopg.rows import DictRow

from domain.erasure import Counts, Erasure, ErasureKind, Related
from domain.errors import NotFound
from domain.ids import ChatbotId, TenantId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.erasures import Erasures
from storage.postgres.queries import load

_SQL = load("erasures")
_LOCKS = {
    ErasureKind.SESSION: ("lock_session", "There is no such session."),
    ErasureKind.VISITOR: ("lock_visitor", "There is no such visitor."),
    ErasureKind.DOCUMENT: ("lock_document", "There is no such document."),
    ErasureKind.CHATBOT: ("lock_chatbot", "There is no such chatbot."),
}
_DELETES = (
    "delete_citations",
    "delete_documents",
    "delete_sessions",
    "delete_exports",
    "delete_visitors",
    "delete_chatbots",
)
_NAMES = ("sessions", "visitors", "documents", "chatbots", "exports")


async def erase(
    tx: Transaction,
    tenant_id: TenantId,
    kind: ErasureKind,
    subject: UUID,
    requested_by: str,
    chatbot_id: ChatbotId | None = None,
) -> Erasure:
    """Remove the rows of a session, visitor, document or chatbot now, and request the erasure of all else.

    Raises NotFound, also when it is another bot's than `chatbot_id`.
    """
    lock, sentence = _LOCKS[kind]
    if kind is ErasureKind.DOCUMENT:
        await execute(tx, _SQL["lock_bot_of_document"], tenant_id=tenant_id, id=subject)
    row = await fetch_one(tx, _SQL[lock], tenant_id=tenant_id, id=subject)
    if row is None or chatbot_id not in (None, row["chatbot_id"]):
        raise NotFound(sentence)
    related = await _related(tx, tenant_id, kind, subject)
    rows = ErasedRows(tx, tenant_id)
    related["exports"] = await rows.exports(related)
    counts = await rows.remove(related)
    return await Erasures(tx).request(
        tenant_id, kind, subject, requested_by, chatbot_id=row["chatbot_id"], related=related, counts=counts
    )


async def limited_chatbots(tx: Transaction) -> list[tuple[TenantId, ChatbotId, int]]:
    """The chatbots that keep conversations for some days, and how many; needs a system transaction."""
    return [(row["tenant_id"], row["id"], row["days"]) for row in await fetch_all(tx, _SQL["limited_chatbots"])]


async def erase_older(tx: Transaction, tenant_id: TenantId, chatbot_id: ChatbotId, days: int, limit: int) -> Counts:
    """Remove the rows of up to `limit` conversations and visitors of whom nothing was heard for `days`, and request the
    erasure of all else as one; what went, empty when nothing is so old."""
    values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id, "days": days, "limit": limit}
    sessions = [str(row["id"]) for row in await fetch_all(tx, _SQL["old_sessions"], **values)]
    visitors = [str(row["id"]) for row in await fetch_all(tx, _SQL["old_visitors"], **values, sessions=sessions)]
    if not sessions and not visitors:
        return {}
    related: Related = {"sessions": sessions, "visitors": visitors}
    rows = ErasedRows(tx, tenant_id)
    related["exports"] = await rows.exports(related)
    counts = await rows.remove(related)
    await Erasures(tx).request(
        tenant_id,
        ErasureKind.RETENTION,
        chatbot_id,
        "retention",
        chatbot_id=chatbot_id,
        related=related,
        counts=counts,
    )
    return counts


async def _related(tx: Transaction, tenant_id: TenantId, kind: ErasureKind, subject: UUID) -> Related:
    async def ids(block: str) -> list[str]:
        return [str(row["id"]) for row in await fetch_all(tx, _SQL[block], tenant_id=tenant_id, id=subject)]

    match kind:
        case ErasureKind.VISITOR:
            return {"visitors": [str(subject)], "sessions": await ids("sessions_of_visitor")}
        case ErasureKind.CHATBOT:
            return {
                "chatbots": [str(subject)],
                "sessions": await ids("sessions_of_chatbot"),
                "visitors": await ids("visitors_of_chatbot"),
                "documents": await ids("documents_of_chatbot"),
            }
        case _:
            return {f"{kind.value}s": [str(subject)]}


class ErasedRows:
    """`related` names ids as `Erasure.related` does."""

    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def count(self, related: Related) -> Counts:
        """Rows by table that the ids have now, without zeros."""
        ids = {name: related.get(name, []) for name in _NAMES}
        row = await fetch_one(self._tx, _SQL["count"], tenant_id=self._tenant, **ids)
        return {f"postgres.{name}": total for name, total in (row or {}).items() if total}

    async def remove(self, related: Related) -> Counts:
        """Delete them all; how many there were."""
        counts = await self.count(related)
        ids = {name: related.get(name, []) for name in _NAMES}
        for block in _DELETES:
            await execute(self._tx, _SQL[block], tenant_id=self._tenant, **ids)
        return counts

    async def exports(self, related: Related) -> list[str]:
        """Archives that may hold any of it; they are to be made anew."""
        ids = {name: related.get(name, []) for name in ("visitors", "sessions")}
        rows = await fetch_all(self._tx, _SQL["exports_of"], tenant_id=self._tenant, **ids)
        return [str(row["id"]) for row in rows]

    async def events_to_come(self, erasure: Erasure) -> int:
        """Events about it that a consumer has not seen yet."""
        row = await fetch_one(self._tx, _SQL["unrelayed"], **self._events(erasure))
        return int(row["total"]) if row else 0

    async def remove_events(self, erasure: Erasure) -> Counts:
        """From the outbox and from what consumers remember."""
        row = await fetch_one(self._tx, _SQL["delete_events"], **self._events(erasure))
        return {f"postgres.{name}": total for name, total in (row or {}).items() if total}

    async def known_turns(self, ids: list[UUID]) -> set[UUID]:
        """Those of the turns that exist."""
        return {row["id"] for row in await fetch_all(self._tx, _SQL["known_turns"], tenant_id=self._tenant, ids=ids)}

    def _events(self, erasure: Erasure) -> dict[str, object]:
        one_of = {"sessions": "session", "documents": "document", "chatbots": "chatbot"}
        aggregates = [f"{noun}:{one}" for name, noun in one_of.items() for one in erasure.related.get(name, ())]
        return {
            "tenant_id": self._tenant,
            "whole": erasure.kind is ErasureKind.TENANT,
            "aggregates": aggregates,
            "chatbots": erasure.related.get("chatbots", []),
        }


class ErasedTenant:
    """Everything of one tenant; needs a system transaction."""

    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def lock(self) -> None:
        """Hold the tenant's row. Raises NotFound for one that is erased."""
        if await fetch_one(self._tx, _SQL["lock_tenant"], tenant_id=self._tenant) is None:
            raise NotFound("There is no such company.")

    async def end_access(self) -> tuple[list[str], Counts]:
        """End every membership and log-in; the people who have no other tenant, and how many rows went."""
        people = [str(row["id"]) for row in await self._all("lone_people")]
        await execute(self._tx, _SQL["close_tenant"], tenant_id=self._tenant)
        [row] = await self._all("end_access")
        return people, {f"postgres.{name}": total for name, total in row.items() if total}

    async def remove(self, people: list[str]) -> Counts:
        """Every row but those that must be kept, and the people who belong nowhere else."""
        await self._all("be_patient")
        mails = await execute(self._tx, _SQL["delete_mail"], tenant_id=self._tenant, people=people)
        counts = {f"postgres.{row['name']}": row["total"] for row in await self._all("delete_tenant_rows")}
        counts["postgres.mail_queue"] = mails
        [gone] = await fetch_all(self._tx, _SQL["delete_people"], people=people)
        counts |= {f"postgres.{name}": total for name, total in gone.items()}
        counts["postgres.webhook_inbox"] = await execute(self._tx, _SQL["delete_webhooks"], tenant_id=self._tenant)
        for block in ("forget_invoices", "forget_tenant"):
            await execute(self._tx, _SQL[block], tenant_id=self._tenant)
        return {name: total for name, total in counts.items() if total}

    async def count(self, people: list[str]) -> Counts:
        """Rows that are still there, by table."""
        await self._all("be_patient")
        counts = {f"postgres.{row['name']}": row["total"] for row in await self._all("count_tenant_rows")}
        [users] = await fetch_all(self._tx, _SQL["count_people"], people=people)
        counts["postgres.users"] = users["total"]
        return {name: total for name, total in counts.items() if total}

    async def _all(self, block: str) -> list[DictRow]:
        return await fetch_all(self._tx, _SQL[block], tenant_id=self._tenant)
