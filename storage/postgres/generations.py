"""Generations of a bot's knowledge as its tenant sees them: asked for, watched, switched to, and given up."""

from dataclasses import dataclass

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.chatbot import Chatbot
from domain.chunking_config import ChunkingConfig
from domain.documents import Document
from domain.errors import Conflict, NotFound
from domain.generations import Comparison, Generation, Progress
from domain.ids import ChatbotId, TenantId
from domain.knowledge import GenerationState, Knowledge
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.documents import Documents
from storage.postgres.queries import load

_SQL = load("generations")
SYSTEM = "system"
_PROGRESS = (
    "documents",
    "done",
    "failed",
    "chunks",
    "live_chunks_done",
    "live_chunks_left",
    "recent_chunks",
    "recent_seconds",
)


@dataclass(frozen=True, slots=True)
class KnowledgeSize:
    documents: int
    chunks: int
    sample: tuple[Document, ...]


class Generations:
    """Of one bot. Whoever changes anything holds the bot's row: `Chatbots.lock`."""

    def __init__(self, tx: Transaction, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        self._tx = tx
        self._place = {"tenant_id": tenant_id, "chatbot_id": chatbot_id}
        self._tenant = tenant_id
        self._bot = chatbot_id

    async def list_all(self) -> list[Generation]:
        """The newest first, 50 at most; none for a bot that nobody asked another generation of."""
        rows = await fetch_all(self._tx, _SQL["list"], **self._place, generation=None)
        return [_generation(row) for row in rows]

    async def get(self, generation: int) -> Generation:
        """Raises NotFound."""
        rows = await fetch_all(self._tx, _SQL["list"], **self._place, generation=generation)
        if not rows:
            raise NotFound("There is no such generation.")
        return _generation(rows[0])

    async def request(
        self, present: Chatbot, usual: str, model: str, chunking: ChunkingConfig, requested_by: str
    ) -> Generation:
        """Another generation, to be built. `usual` is the model of a live one whose model is not known.

        Raises Conflict while there is one that is built or waits to be switched to.
        """
        await execute(
            self._tx,
            _SQL["insert_live"],
            **self._place,
            model=usual,
            chunking=_json(present.config.chunking),
            requested_by=SYSTEM,
        )
        row = await fetch_one(
            self._tx, _SQL["insert"], **self._place, model=model, chunking=_json(chunking), requested_by=requested_by
        )
        if row is None:
            raise Conflict("Another generation is being built already, or waits; switch to it or cancel it first.")
        return await self.get(row["generation"])

    async def give_up(self, generation: int) -> GenerationState:
        """End a build, or the keeping of an earlier generation; what has become of it. Raises NotFound, Conflict."""
        found = await self.get(generation)
        row = await fetch_one(self._tx, _SQL["give_up"], **self._place, generation=generation)
        if row is None:
            raise Conflict(f"The generation is {found.state.value}; there is nothing to cancel.")
        return GenerationState(row["state"])

    async def previous(self) -> int:
        """The generation that was live before and is still kept. Raises Conflict."""
        row = await fetch_one(self._tx, _SQL["previous"], **self._place)
        if row is None:
            raise Conflict("No earlier generation is kept that could be gone back to.")
        return int(row["generation"])

    async def switch(self, present: Chatbot, generation: int, keep_seconds: float, *, accept_failures: bool) -> None:
        """Make another generation answer, with its chunking for what comes; the present one is kept for a time.

        Raises NotFound, and Conflict where it is not complete, or lacks documents and nobody said that it may.
        """
        found = await self.get(generation)
        if found.state not in (GenerationState.READY, GenerationState.RETIRED):
            raise Conflict(f"The generation is {found.state.value}; only one that is ready can be switched to.")
        row = await fetch_one(self._tx, _SQL["left_out"], **self._place, generation=generation)
        missing, failed = (row["missing"], row["failed"]) if row else (0, 0)
        if missing:
            raise Conflict(f"{missing:,} new documents are just being taken in; try again.", retry_after=2.0)
        if failed and not accept_failures:
            raise Conflict(f"{failed:,} documents could not be taken in; `accept_failures` switches all the same.")
        await execute(self._tx, _SQL["keep_documents"], **self._place, generation=present.knowledge.generation)
        for block in ("show_documents", "queue_documents", "forget_documents", "end_previous"):
            await execute(self._tx, _SQL[block], **self._place, generation=generation)
        await execute(self._tx, _SQL["retire"], **self._place, keep=keep_seconds)
        for block in ("make_live", "point"):
            await execute(self._tx, _SQL[block], **self._place, generation=generation)
        if present.config.chunking != found.chunking:
            config = present.config.model_copy(update={"chunking": found.chunking})
            await Chatbots(self._tx).add_version(present, config)

    async def size(self, sample: int, most_bytes: int) -> KnowledgeSize:
        """Of all documents that are ready, and some of them that are not larger than `most_bytes`."""
        row = await fetch_one(self._tx, _SQL["size"], **self._place)
        assert row is not None
        chosen = await fetch_all(self._tx, _SQL["sample"], **self._place, limit=sample, bytes=most_bytes)
        documents = Documents(self._tx)
        found = [await documents.get(self._tenant, self._bot, one["id"]) for one in chosen]
        return KnowledgeSize(row["documents"], int(row["chunks"]), tuple(found))

    async def last_rate(self) -> float | None:
        """Chunks per second of the bot's last build; None where there was none."""
        row = await fetch_one(self._tx, _SQL["last_rate"], **self._place)
        return float(row["rate"]) if row and row["rate"] else None

    async def live_held(self) -> Knowledge | None:
        """What answers, until the end of the transaction; None for a bot that is gone."""
        row = await fetch_one(self._tx, _SQL["live_held"], **self._place)
        return None if row is None else knowledge_of(row)


def knowledge_of(row: DictRow) -> Knowledge:
    return Knowledge(row["knowledge_generation"], row["knowledge_model"] or "")


def _json(chunking: ChunkingConfig) -> Jsonb:
    return Jsonb(chunking.model_dump(mode="json"))


def _generation(row: DictRow) -> Generation:
    values = {key: value for key, value in row.items() if key not in _PROGRESS}
    return Generation(
        **{
            **values,
            "chunking": ChunkingConfig.model_validate(row["chunking"]),
            "state": GenerationState(row["state"]),
            "comparison": Comparison.from_json(row["comparison"]) if row["comparison"] else None,
            "progress": Progress(**{key: row[key] for key in _PROGRESS}),
        }
    )
