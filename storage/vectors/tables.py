"""The LanceDB tables that a process has open, and what readers must know of their vector index."""

import json
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import lancedb

from domain.ids import ChatbotId, TenantId
from storage.vectors.places import database_of, has_no_database, place_of, root_of, table_of

OPEN_TABLES = 1_024
INDEX_CACHE_BYTES = 256 * 1024 * 1024
METADATA_CACHE_BYTES = 64 * 1024 * 1024
TUNING_SECONDS = 5.0
"""For so long a reader goes by what it knows of the vector index; a wrong belief costs time or recall, not an error."""
_TUNING = "loquent.vector_index"

TableKey = tuple[str, str]
"""The tenant as the canonical text of its UUID, and the table's name: the only things that enter a path."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a vector index that has passed its gate is searched; kept in the metadata of the table's vectors."""

    nprobes: int
    refine: int
    """How many times as many candidates are compared by their full vectors; 0 where the index holds those."""
    partitions: int
    rows: int
    """When it was measured."""
    recall: float
    """At 10 against exact search, as measured."""

    @classmethod
    def of(cls, schema: Any) -> Self | None:
        """What the table says; None when its search is exact."""
        text = (schema.field("vector").metadata or {}).get(_TUNING.encode())
        return cls(**json.loads(text)) if text else None


async def set_tuning(table: Any, tuning: Tuning | None) -> None:
    """Tell readers how to search, or with None that there is nothing to search with."""
    text = json.dumps(asdict(tuning)) if tuning else None
    await table.update_field_metadata({"path": "vector", "metadata": {_TUNING: text}})


@dataclass(slots=True)
class OpenTable:
    table: Any
    _tuning: Tuning | None = None
    _looked: float = float("-inf")

    async def tuning(self) -> Tuning | None:
        now = time.monotonic()
        if now - self._looked > TUNING_SECONDS:
            self._tuning = Tuning.of(await self.table.schema())
            self._looked = now
        return self._tuning


class Tables:
    """Opens tables and keeps the handles of those used last. A handle sees every commit, of any process, at once."""

    def __init__(self, objects_url: str) -> None:
        self.root = root_of(objects_url)
        self._caches: Any = lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
        self._open: OrderedDict[TableKey, OpenTable] = OrderedDict()

    async def database(self, tenant_id: TenantId | str) -> Any:
        # A read looks for a newer version first, so that a document is found as soon as it is committed.
        place = database_of(self.root, opaque(tenant_id))
        return await lancedb.connect_async(place, read_consistency_interval=timedelta(0), session=self._caches)

    async def open(self, key: TableKey, *, fresh: bool = False) -> OpenTable | None:
        """The bot's table, or None when it has none; `fresh` ignores a handle that was kept."""
        if not fresh and (kept := self._open.get(key)) is not None:
            self._open.move_to_end(key)
            return kept
        try:
            table = await (await self.database(key[0])).open_table(key[1])
        except (ValueError, RuntimeError) as error:
            if not is_missing(error):
                raise
            self.forget(key)
            return None
        self._open[key] = opened = OpenTable(table)
        if len(self._open) > OPEN_TABLES:
            self._open.popitem(last=False)
        return opened

    async def drop(self, key: TableKey) -> None:
        """Remove the table with its files; one that is not there is no error."""
        self.forget(key)
        try:
            await (await self.database(key[0])).drop_table(key[1])
        except (ValueError, RuntimeError) as error:
            if not is_missing(error):
                raise

    async def of_bot(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> list[TableKey]:
        """The bot's tables, one for each generation that has any, oldest first."""
        bot = ChatbotId(UUID(opaque(chatbot_id)))
        return [
            table_key(tenant_id, bot, generation) for one, generation in await self.of_tenant(tenant_id) if one == bot
        ]

    async def of_tenant(self, tenant_id: TenantId) -> list[tuple[ChatbotId, int]]:
        """Bots and generations that have a table, in order."""
        if has_no_database(self.root, TenantId(UUID(opaque(tenant_id)))):
            return []  # connecting would make its folder
        database = await self.database(tenant_id)
        return sorted(filter(None, map(place_of, await _names(database))))

    def forget(self, key: TableKey) -> None:
        """The table was dropped, and perhaps made anew, under the handle that was kept."""
        self._open.pop(key, None)


def opaque(identifier: UUID | str) -> str:
    """The canonical text of a UUID, the only thing that enters a path or a filter. Raises ValueError."""
    return str(UUID(str(identifier)))


def table_key(tenant_id: TenantId, chatbot_id: ChatbotId, generation: int = 0) -> TableKey:
    """Raises ValueError for what is no id."""
    return opaque(tenant_id), table_of(opaque(chatbot_id), generation)


async def _names(database: Any) -> list[str]:
    """All of them: a listing comes in pages."""
    names: list[str] = []
    page = await database.list_tables()
    names += page.tables
    while page.page_token:
        page = await database.list_tables(page_token=page.page_token)
        names += page.tables
    return names


def is_missing(error: Exception) -> bool:
    return "not found" in str(error).lower()
