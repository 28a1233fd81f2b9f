"""Work on generations across tenants: what lacks documents, what has ended, and whose tables need care."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from domain.chunking_config import ChunkingConfig
from domain.generations import ComparedQuestion, Comparison
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.knowledge import GenerationState, Knowledge
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.generations import knowledge_of
from storage.postgres.queries import load
from storage.postgres.sealed_columns import content_of
from storage.postgres.tenant_keys import cipher_of

_SQL = load("generations")


@dataclass(frozen=True, slots=True)
class ClaimedGeneration:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    generation: int
    model: str
    chunking: ChunkingConfig
    state: GenerationState
    attempts: int
    """Rounds that began since the last one that ended, this one included."""

    @property
    def knowledge(self) -> Knowledge:
        return Knowledge(self.generation, self.model)


@dataclass(frozen=True, slots=True)
class MissingDocument:
    id: DocumentId
    name: str
    media_type: str
    size: int
    sealed_version: int | None


class GenerationWork:
    """Needs a system transaction, and a single builder."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def claim(self) -> ClaimedGeneration | None:
        """The one to work on next; tenants in turn, and bots within them."""
        row = await fetch_one(self._tx, _SQL["claim"])
        if row is None:
            return None
        chunking, state = ChunkingConfig.model_validate(row["chunking"]), GenerationState(row["state"])
        return ClaimedGeneration(**{**row, "chunking": chunking, "state": state})

    async def missing(self, claimed: ClaimedGeneration, limit: int, max_bytes: int) -> list[MissingDocument]:
        """Documents that are ready and that the generation has not, oldest first."""
        rows = await fetch_all(self._tx, _SQL["missing_documents"], **_place(claimed), limit=limit, bytes=max_bytes)
        return [MissingDocument(**row) for row in rows]

    async def add(
        self,
        claimed: ClaimedGeneration,
        document_id: DocumentId,
        *,
        chunks: int | None = None,
        chunked_with: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Its chunks are committed, or `reason` says why it has none. False when nobody wants them any more."""
        row = await fetch_one(
            self._tx,
            _SQL["add_document"],
            **_place(claimed),
            document_id=document_id,
            chunks=chunks,
            chunked_with=chunked_with,
            reason=reason,
        )
        return row is not None

    async def document_exists(self, tenant_id: TenantId, document_id: DocumentId) -> bool:
        values = {"tenant_id": tenant_id, "document_id": document_id}
        return await fetch_one(self._tx, _SQL["document_exists"], **values) is not None

    async def all_gave_up(self, claimed: ClaimedGeneration, reason: str, most: int) -> bool:
        """Whether the last `most` documents were given up for that reason: it is not the documents then."""
        row = await fetch_one(self._tx, _SQL["gave_up_in_a_row"], **_place(claimed), reason=reason, most=most)
        return bool(row and row["all_of_them"])

    async def settle(self, claimed: ClaimedGeneration, *, attempts: int = 0, pause: float = 0.0) -> None:
        """The round is over; the next one after `pause` seconds."""
        await execute(self._tx, _SQL["settle"], **_place(claimed), attempts=attempts, pause=pause)

    async def fail(self, claimed: ClaimedGeneration, reason: str) -> None:
        """A build ends; `reason` is a sentence for the user."""
        await execute(self._tx, _SQL["fail"], **_place(claimed), reason=reason)

    async def finish(self, claimed: ClaimedGeneration, comparison: Comparison) -> bool:
        """The build is complete. False when a document came meanwhile, or it was cancelled."""
        row = await fetch_one(self._tx, _SQL["finish"], **_place(claimed), comparison=Jsonb(comparison.as_json()))
        return row is not None

    async def live(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> Knowledge | None:
        """None for a bot that is gone."""
        row = await fetch_one(self._tx, _SQL["live"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return None if row is None else knowledge_of(row)

    async def pin(self, bots: set[tuple[TenantId, ChatbotId]], model: str) -> None:
        """Decide about the model of bots that have none yet."""
        tenants, chatbots = [tenant for tenant, _ in bots], [bot for _, bot in bots]
        await execute(self._tx, _SQL["pin"], tenants=tenants, chatbots=chatbots, model=model)

    async def pin_all(self, model: str) -> int:
        """Decide about the model of all bots with documents whose model is not known; how many."""
        return await execute(self._tx, _SQL["pin_all"], model=model)

    async def expire(self) -> int:
        """End what was kept for long enough; how many."""
        return await execute(self._tx, _SQL["expire"])

    async def to_drop(self, limit: int) -> list[tuple[TenantId, ChatbotId, int]]:
        """Generations that have ended, and whose tables are still there."""
        rows = await fetch_all(self._tx, _SQL["to_drop"], limit=limit)
        return [(row["tenant_id"], row["chatbot_id"], row["generation"]) for row in rows]

    async def dropped(self, tenant_id: TenantId, chatbot_id: ChatbotId, generation: int) -> None:
        values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id, "generation": generation}
        await execute(self._tx, _SQL["dropped"], **values)

    async def upkeep_due(self, every: float, limit: int) -> list[tuple[TenantId, ChatbotId]]:
        """Bots whose tables were not looked after for `every` seconds, the longest ago first."""
        rows = await fetch_all(self._tx, _SQL["upkeep_due"], every=every, limit=limit)
        return [(row["tenant_id"], row["chatbot_id"]) for row in rows]

    async def totals(self, every: float) -> dict[str, int]:
        """How many are built, wait, are kept and are to be removed, and how many bots wait for upkeep."""
        row = await fetch_one(self._tx, _SQL["totals"], every=every)
        return dict(row or {})

    async def upkept(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        await execute(self._tx, _SQL["upkept"], tenant_id=tenant_id, chatbot_id=chatbot_id)

    async def asked(self, tenant_id: TenantId, chatbot_id: ChatbotId, limit: int) -> list[ComparedQuestion]:
        """The last questions of conversations that were answered with sources, and where those stand."""
        rows = await fetch_all(self._tx, _SQL["asked"], tenant_id=tenant_id, chatbot_id=chatbot_id, limit=limit)
        if not rows:
            return []
        cipher = await cipher_of(self._tx, tenant_id)
        return [
            ComparedQuestion(
                content_of(cipher, row["session_id"], row["message_id"], row["sealed"], row["content"]),
                tuple((DocumentId(UUID(document)), start, end) for document, start, end in row["spans"]),
            )
            for row in rows
        ]


def _place(claimed: ClaimedGeneration) -> dict[str, object]:
    return {
        "tenant_id": claimed.tenant_id,
        "chatbot_id": claimed.chatbot_id,
        "generation": claimed.generation,
    }
