"""What the application's role sees of one tenant while it acts for another: nothing, unless there is a hole."""

from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg.sql import SQL, Identifier

from domain.ids import TenantId
from storage.postgres.database import Database, fetch_all, tenant_tx
from storage.postgres.queries import load

_SQL = load("isolation")
_FOREIGN_ROWS: LiteralString = cast("Any", _SQL["foreign_rows"])


class VisibleRows:
    """For the canary probe, which asks the database directly as well: the API has filters of its own."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tables_showing(self, tenant_id: str | None, words: list[str], foreign: str) -> tuple[int, list[str]]:
        """How many tables were read as this tenant (None: as nobody), and which of them show one of the words, or a
        row of the tenant `foreign`. Raises Unavailable."""
        values = {"patterns": [f"%{word}%" for word in words], "foreign": foreign}
        # Nobody: an id that no tenant has.
        tenant = TenantId(UUID(tenant_id) if tenant_id else UUID(int=0))
        async with tenant_tx(self._db, tenant) as tx:
            names = [row["name"] for row in await fetch_all(tx, _SQL["readable_tables"])]
            showing = []
            for name in names:
                statement = SQL(_FOREIGN_ROWS).format(table=Identifier(name))
                row = await (await tx.execute(statement, values)).fetchone()
                if row is None or row["total"]:
                    showing.append(name)
        return len(names), showing
