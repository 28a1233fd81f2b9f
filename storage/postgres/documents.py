"""Documents of a chatbot: what tenants see of them, and the queue that ingestion works off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.document_filter import MAX_KEYS, DocumentFilter, Metadata
from domain.documents import Document, DocumentStatus, Recognition
from domain.errors import NotFound, Unprocessable
from domain.ids import ChatbotId, DocumentId, TenantId, new_uuid
from domain.knowledge import FIRST, Knowledge
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, Transaction, fetch_all, fetch_one, tenant_tx
from storage.postgres.queries import load

_SQL = load("documents")


@dataclass(frozen=True, slots=True)
class ClaimedDocument:
    document: Document
    attempts: int
    """How often it was claimed, this time included."""
    chunking: str = ""
    """The bot's present `ChunkingConfig` as JSON; empty for the usual one."""
    knowledge: Knowledge = FIRST
    """The bot's generation that is live."""


class StoredDocuments:
    """The DocumentChooser over the rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def matching(self, tenant_id: TenantId, chatbot_id: ChatbotId, chosen: DocumentFilter) -> list[DocumentId]:
        async with tenant_tx(self._db, tenant_id) as tx:
            return await Documents(tx).matching(tenant_id, chatbot_id, chosen)


class Documents:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        name: str,
        media_type: str,
        size: int,
        content_hash: str,
        sealed_version: int | None = None,
        metadata: Metadata | None = None,
        source: str | None = None,
    ) -> tuple[Document, bool]:
        """The document of this content, and whether it now waits for ingestion because of this call.

        False means that the bot has it already: queued, in work or ready. When true, store its bytes before the
        transaction commits, since it may be claimed right after: sealed with the version given here.
        """
        row = await fetch_one(
            self._tx,
            _SQL["insert"],
            tenant_id=tenant_id,
            id=new_uuid(),
            chatbot_id=chatbot_id,
            name=name,
            media_type=media_type,
            size=size,
            content_hash=content_hash,
            sealed_version=sealed_version,
            metadata=Jsonb(metadata or {}),
            source=source,
        )
        if row is not None:
            return _document(row), True
        row = await fetch_one(
            self._tx, _SQL["get_by_hash"], tenant_id=tenant_id, chatbot_id=chatbot_id, content_hash=content_hash
        )
        if row is None:
            raise NotFound("The document was deleted just now; upload it again.")
        return _document(row), False

    async def get(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> Document:
        """Raises NotFound, also for another bot's document."""
        return _found(
            await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, chatbot_id=chatbot_id, id=document_id)
        )

    async def list_page(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        limit: int,
        before: UUID | None = None,
        *,
        status: DocumentStatus | None = None,
        chosen: DocumentFilter | None = None,
    ) -> list[Document]:
        """Up to `limit` documents that pass `chosen`, newest first, older than `before`."""
        rows = await fetch_all(
            self._tx,
            _SQL["list"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            limit=limit,
            before=before,
            status=status.value if status else None,
            **_conditions(chosen or DocumentFilter()),
        )
        return [_document(row) for row in rows]

    async def matching(self, tenant_id: TenantId, chatbot_id: ChatbotId, chosen: DocumentFilter) -> list[DocumentId]:
        """Every document of the bot that passes `chosen`, whatever its status, oldest first."""
        rows = await fetch_all(
            self._tx, _SQL["matching"], tenant_id=tenant_id, chatbot_id=chatbot_id, **_conditions(chosen)
        )
        return [DocumentId(row["id"]) for row in rows]

    async def update_details(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        document_id: DocumentId,
        *,
        name: str | None,
        metadata: Metadata | None,
    ) -> Document:
        """Change what is not None; `metadata` goes in place of all there was. Raises NotFound."""
        await Chatbots(self._tx).knowledge_changed(tenant_id, chatbot_id)
        row = await fetch_one(
            self._tx,
            _SQL["update_details"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            id=document_id,
            name=name,
            metadata=None if metadata is None else Jsonb(metadata),
        )
        return _found(row)

    async def told_again(self, document: Document, metadata: Metadata) -> tuple[Document, bool]:
        """What is said of a document that is there: names that come again have their new value, the others stay.

        Whether that changed anything. The caller holds the chatbot's row. Raises Unprocessable for too many names.
        """
        merged = {**document.metadata, **metadata}
        if merged == document.metadata:
            return document, False
        if len(merged) > MAX_KEYS:
            raise Unprocessable(f"The document would have more than {MAX_KEYS} names in its metadata.")
        changed = await self.update_details(
            document.tenant_id, document.chatbot_id, document.id, name=None, metadata=merged
        )
        return changed, True

    async def by_hashes(self, tenant_id: TenantId, chatbot_id: ChatbotId, hashes: Sequence[str]) -> dict[str, Document]:
        """The bot's documents of these contents, by SHA-256."""
        rows = await fetch_all(
            self._tx, _SQL["by_hashes"], tenant_id=tenant_id, chatbot_id=chatbot_id, hashes=list(hashes)
        )
        return {row["content_hash"]: _document(row) for row in rows}

    async def count(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> int:
        row = await fetch_one(self._tx, _SQL["count"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return int(row["documents"]) if row else 0

    async def delete(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> Document:
        """Raises NotFound. Chunks and files go when the event of the deletion is handled."""
        return _found(
            await fetch_one(self._tx, _SQL["delete"], tenant_id=tenant_id, chatbot_id=chatbot_id, id=document_id)
        )

    async def claim_batch(self, limit: int, max_bytes: int, largest: int | None = None) -> list[ClaimedDocument]:
        """Take queued documents into work, tenants in turn; needs a system transaction.

        Documents of more than `largest` bytes are left.
        """
        values = {"limit": limit, "bytes": max_bytes, "largest": largest}
        return [_claimed(row) for row in await fetch_all(self._tx, _SQL["claim_batch"], **values)]

    async def orphans(self) -> list[ClaimedDocument]:
        """Every document in work, locked; needs a system transaction and a single supervisor."""
        return [_claimed(row) for row in await fetch_all(self._tx, _SQL["orphans"])]

    async def mark_ready(
        self,
        tenant_id: TenantId,
        document_id: DocumentId,
        pages: int | None,
        chunks: int,
        *,
        language: str | None = None,
        chunked_with: str | None = None,
        notice: str | None = None,
        recognition: Recognition | None = None,
    ) -> str | None:
        """Its present name; None when the document is not in work any more: it was deleted."""
        row = await fetch_one(
            self._tx,
            _SQL["mark_ready"],
            tenant_id=tenant_id,
            id=document_id,
            pages=pages,
            chunks=chunks,
            language=language,
            chunked_with=chunked_with,
            notice=notice,
            recognised_pages=recognition.pages if recognition else None,
            recognition_confidence=recognition.confidence if recognition else None,
        )
        return None if row is None else str(row["name"])

    async def mark_failed(self, tenant_id: TenantId, document_id: DocumentId, reason: str) -> bool:
        """`reason` is a sentence for the user. False when the document is not in work any more."""
        row = await fetch_one(self._tx, _SQL["mark_failed"], tenant_id=tenant_id, id=document_id, reason=reason)
        return row is not None

    async def requeue(self, tenant_id: TenantId, document_id: DocumentId) -> bool:
        """Put a document in work back into the queue; its attempts stay counted."""
        return await fetch_one(self._tx, _SQL["requeue"], tenant_id=tenant_id, id=document_id) is not None

    async def chatbot_exists(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> bool:
        row = await fetch_one(self._tx, _SQL["chatbot_exists"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return row is not None


def _conditions(chosen: DocumentFilter) -> dict[str, Any]:
    """Parameters of the statements that filter; None for what any document has."""
    return {
        "ids": list(chosen.document_ids) or None,
        "languages": list(chosen.languages) or None,
        "media_types": list(chosen.media_types) or None,
        "part_of_name": chosen.name,
        "source": chosen.source,
        "metadata": Jsonb({key: list(values) for key, values in chosen.metadata.items()}),
    }


def _document(row: DictRow) -> Document:
    more = ("attempts", "chunking", "knowledge_generation", "knowledge_model")
    values = {key: value for key, value in row.items() if key not in more}
    return Document(**{**values, "status": DocumentStatus(row["status"])})


def _found(row: DictRow | None) -> Document:
    if row is None:
        raise NotFound("There is no such document.")
    return _document(row)


def _claimed(row: DictRow) -> ClaimedDocument:
    knowledge = Knowledge(row.get("knowledge_generation") or 0, row.get("knowledge_model") or "")
    return ClaimedDocument(_document(row), row["attempts"], row.get("chunking") or "", knowledge)
