"""Looks after the tables of knowledge: compacts them, refreshes their indexes, and removes those that have ended."""

from collections.abc import Callable

import structlog

from domain.ids import ChatbotId, DocumentId, TenantId
from storage.postgres.database import Database, system_tx
from storage.postgres.generation_work import GenerationWork
from storage.vectors.store import VectorStore

log = structlog.get_logger()

EVERY_SECONDS = 30.0
AGAIN_SECONDS = 6 * 3_600.0
"""How long a bot is left alone after its turn."""
BATCH = 20
"""Bots, and ended tables, of one round."""
InWork = Callable[[TenantId], list[tuple[ChatbotId, DocumentId]]]


class KnowledgeUpkeep:
    """One per platform, in the process that writes the vector tables. One bot at a time, and never one that is being
    written to; who was looked after, and what is left to remove, is in the database, so that a restart goes on."""

    def __init__(self, db: Database, vectors: VectorStore, in_work: InWork) -> None:
        self._db = db
        self._vectors = vectors
        self._in_work = in_work
        self._tidied = 0
        self._waiting = 0
        self._removed = 0

    @property
    def load(self) -> dict[str, int]:
        return {"bots_tidied": self._tidied, "bots_untidy": self._waiting, "generations_removed": self._removed}

    async def work(self) -> float | None:
        """One round; soon again when there was as much as a round takes."""
        removed = await self._remove()
        due = await self._due()
        for tenant_id, chatbot_id in due:
            await self._look_after(tenant_id, chatbot_id)
        return 1.0 if BATCH in (removed, len(due)) else None

    async def _remove(self) -> int:
        async with system_tx(self._db) as tx:
            work = GenerationWork(tx)
            await work.expire()
            ended = await work.to_drop(BATCH)
        for tenant_id, chatbot_id, generation in ended:
            if self._is_written(tenant_id, chatbot_id):
                continue
            await self._vectors.remove_generation(tenant_id, chatbot_id, generation)
            async with system_tx(self._db) as tx:
                await GenerationWork(tx).dropped(tenant_id, chatbot_id, generation)
            self._removed += 1
            log.info("upkeep.removed", tenant_id=str(tenant_id), chatbot_id=str(chatbot_id), generation=generation)
        return len(ended)

    async def _due(self) -> list[tuple[TenantId, ChatbotId]]:
        async with system_tx(self._db) as tx:
            due = await GenerationWork(tx).upkeep_due(AGAIN_SECONDS, BATCH)
        self._waiting = len(due)
        return due

    async def _look_after(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        if self._is_written(tenant_id, chatbot_id):
            return
        for generation in await self._vectors.generations(tenant_id, chatbot_id):
            try:
                await self._vectors.optimize(tenant_id, chatbot_id, generation=generation, thorough=True)
            except Exception as error:  # noqa: BLE001 - one table that cannot be tidied must not stop the others
                names = {"tenant_id": str(tenant_id), "chatbot_id": str(chatbot_id), "generation": generation}
                log.warning("upkeep.failed", **names, error=repr(error))
        async with system_tx(self._db) as tx:
            await GenerationWork(tx).upkept(tenant_id, chatbot_id)
        self._tidied += 1
        self._waiting -= 1

    def _is_written(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> bool:
        return any(bot == chatbot_id for bot, _ in self._in_work(tenant_id))
