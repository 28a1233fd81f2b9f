"""Erasures as durable jobs: requested in the transaction that removes the rows, worked off step by step."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.erasure import Counts, Erasure, ErasureKind, ErasureState, Related, Step
from domain.errors import NotFound
from domain.ids import ChatbotId, DocumentId, TenantId, new_uuid
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("erasures")


class Erasures:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def request(
        self,
        tenant_id: TenantId,
        kind: ErasureKind,
        subject: UUID,
        requested_by: str,
        *,
        chatbot_id: ChatbotId | None = None,
        related: Related | None = None,
        counts: Counts | None = None,
        grace_seconds: float = 0.0,
    ) -> Erasure:
        """A new erasure, or the one of the same subject that is not done yet."""
        row = await fetch_one(
            self._tx,
            _SQL["request"],
            tenant_id=tenant_id,
            id=new_uuid(),
            kind=kind,
            subject=subject,
            chatbot_id=chatbot_id,
            requested_by=requested_by,
            related=Jsonb(related or {}),
            counts=Jsonb(counts or {}),
            grace=grace_seconds,
        )
        if row is None:
            row = await fetch_one(self._tx, _SQL["open_one"], tenant_id=tenant_id, kind=kind, subject=subject)
        if row is None:
            raise NotFound("It was erased just now.")
        return _erasure(row)

    async def open_one(self, tenant_id: TenantId, kind: ErasureKind, subject: UUID) -> Erasure | None:
        """The erasure of this subject that is not done."""
        row = await fetch_one(self._tx, _SQL["open_one"], tenant_id=tenant_id, kind=kind, subject=subject)
        return _erasure(row) if row else None

    async def get(self, tenant_id: TenantId, erasure_id: UUID) -> Erasure:
        """Raises NotFound."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=erasure_id)
        if row is None:
            raise NotFound("There is no such erasure.")
        return _erasure(row)

    async def list_page(self, tenant_id: TenantId, limit: int, before: UUID | None = None) -> list[Erasure]:
        """Up to `limit`, newest first, older than `before`."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id, limit=limit, before=before)
        return [_erasure(row) for row in rows]

    async def cancel(self, tenant_id: TenantId, kind: ErasureKind) -> UUID | None:
        """Take back a request whose time has not come; its id, None when there is none."""
        row = await fetch_one(self._tx, _SQL["cancel"], tenant_id=tenant_id, kind=kind)
        return row["id"] if row else None

    async def due(self, limit: int) -> list[Erasure]:
        """What is to be worked on now, the longest waiting first; needs a system transaction."""
        return [_erasure(row) for row in await fetch_all(self._tx, _SQL["due"], limit=limit)]

    async def documents_waiting(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> set[DocumentId]:
        """Documents of the bot that are to be erased, and whose chunks have not been removed yet."""
        rows = await fetch_all(self._tx, _SQL["documents_waiting"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return {DocumentId(row["id"]) for row in rows}

    async def start(self, erasure: Erasure) -> bool:
        """False when it was taken back."""
        return await execute(self._tx, _SQL["start"], tenant_id=erasure.tenant_id, id=erasure.id) == 1

    async def finish_step(
        self, erasure: Erasure, steps: tuple[Step, ...], counts: Mapping[str, int], related: Related
    ) -> None:
        await execute(
            self._tx,
            _SQL["finish_step"],
            tenant_id=erasure.tenant_id,
            id=erasure.id,
            steps=[step.value for step in steps],
            counts=Jsonb(dict(counts)),
            related=Jsonb(related),
        )

    async def postpone(self, erasure: Erasure, pause_seconds: float, error: str | None, *, again: bool = False) -> None:
        """Try again later, with every step when `again`."""
        await execute(
            self._tx,
            _SQL["postpone"],
            tenant_id=erasure.tenant_id,
            id=erasure.id,
            pause=pause_seconds,
            error=error,
            again=again,
        )

    async def finish(self, erasure: Erasure, finished_at: datetime, receipt: str, counts: Mapping[str, int]) -> bool:
        """False when it was finished before."""
        done = await execute(
            self._tx,
            _SQL["finish"],
            tenant_id=erasure.tenant_id,
            id=erasure.id,
            finished_at=finished_at,
            receipt=receipt,
            counts=Jsonb(dict(counts)),
        )
        return done == 1

    async def now(self) -> datetime:
        """The database's time."""
        row = await fetch_one(self._tx, _SQL["now"])
        assert row is not None
        now: datetime = row["now"]
        return now


def _erasure(row: DictRow) -> Erasure:
    return Erasure(
        **{
            **row,
            "kind": ErasureKind(row["kind"]),
            "state": ErasureState(row["state"]),
            "steps": tuple(Step(step) for step in row["steps"]),
        }
    )
