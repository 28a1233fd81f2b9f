"""Exports: their rows, and the content of the files that they are made of."""

from collections.abc import AsyncIterator
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.sql import SQL

from domain.errors import NotFound
from domain.exports import Export, ExportKind, ExportState
from domain.ids import TenantId, new_uuid
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("exports")
_FILES = load("export_files")
KEEP_HOURS = 24
MOST_ATTEMPTS = 3


class Exports:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def request(self, tenant_id: TenantId, kind: ExportKind, subject: UUID, requested_by: str) -> Export:
        """A new export, or the one of the same subject that is being made."""
        values = {"tenant_id": tenant_id, "kind": kind, "subject": subject}
        row = await fetch_one(self._tx, _SQL["request"], **values, id=new_uuid(), requested_by=requested_by)
        if row is None:
            row = await fetch_one(self._tx, _SQL["open_one"], **values)
        return _found(row)

    async def get(self, tenant_id: TenantId, export_id: UUID) -> Export:
        """Raises NotFound, also for one that has expired."""
        return _found(await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=export_id))

    async def list_page(self, tenant_id: TenantId, limit: int, before: UUID | None = None) -> list[Export]:
        """Up to `limit`, newest first, older than `before`."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id, limit=limit, before=before)
        return [_found(row) for row in rows]

    async def claim(self) -> Export | None:
        """Take the next one into work; needs a system transaction and a single exporter."""
        row = await fetch_one(self._tx, _SQL["claim"])
        return _found(row) if row else None

    async def finish(self, export: Export, size: int, sha256: str) -> bool:
        """False when it was erased meanwhile."""
        row = await fetch_one(
            self._tx,
            _SQL["finish"],
            tenant_id=export.tenant_id,
            id=export.id,
            size=size,
            sha256=sha256,
            hours=KEEP_HOURS,
        )
        return row is not None

    async def give_back(self, export: Export) -> None:
        """It went wrong: once more later, or never after MOST_ATTEMPTS."""
        values = {"tenant_id": export.tenant_id, "id": export.id, "most": MOST_ATTEMPTS}
        await execute(self._tx, _SQL["give_back"], **values)

    async def expired(self, limit: int) -> list[tuple[TenantId, UUID]]:
        """Needs a system transaction."""
        return [(row["tenant_id"], row["id"]) for row in await fetch_all(self._tx, _SQL["expired"], limit=limit)]

    async def delete(self, tenant_id: TenantId, export_id: UUID) -> None:
        await execute(self._tx, _SQL["delete"], tenant_id=tenant_id, id=export_id)


class ExportFiles:
    """The rows of an archive; needs a system transaction, in which nothing else happens."""

    def __init__(self, tx: Transaction, export: Export) -> None:
        self._tx = tx
        self._export = export

    async def begin(self) -> None:
        """See one moment from here on, for as long as it takes."""
        await execute(self._tx, _SQL["freeze"])
        await fetch_one(self._tx, _SQL["be_patient"])

    @property
    def names(self) -> list[str]:
        """The files of this kind of export, in their order."""
        kind = f"{self._export.kind.value}_"
        return [name.removeprefix(kind) for name in _FILES if name.startswith(kind)]

    async def lines(self, name: str) -> AsyncIterator[str]:
        """One JSON object per row, streamed."""
        # Only so does PostgreSQL send what it has not in memory; the client library binds the values.
        query = SQL(_SQL["stream"]).format(query=SQL(_FILES[f"{self._export.kind.value}_{name}"]))
        values = {"tenant_id": self._export.tenant_id, "subject": self._export.subject}
        async with self._tx.cursor().copy(query, values) as copy:
            copy.set_types(["text"])
            async for row in copy.rows():
                yield str(row[0])


def _found(row: DictRow | None) -> Export:
    if row is None:
        raise NotFound("There is no such export.")
    return Export(**{**row, "kind": ExportKind(row["kind"]), "state": ExportState(row["state"])})
