"""Gives a document's chunks the name that the document has now."""

import asyncio

from domain.errors import NotFound
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, tenant_tx
from storage.postgres.documents import Documents
from storage.vectors.store import VectorStore


class Renaming:
    """Of the one writer of vectors; one at a time, so that an older name never comes after a newer one."""

    def __init__(self, db: Database, vectors: VectorStore) -> None:
        self._db = db
        self._vectors = vectors
        self._turn = asyncio.Lock()

    async def rename(self, tenant_id: TenantId, chatbot_id: ChatbotId, document_id: DocumentId) -> None:
        """May be repeated; a document that is gone is no error."""
        async with self._turn:
            try:
                async with tenant_tx(self._db, tenant_id) as tx:
                    document = await Documents(tx).get(tenant_id, chatbot_id, document_id)
            except NotFound:
                return
            await self._vectors.rename_document(tenant_id, chatbot_id, document_id, document.name)
            async with tenant_tx(self._db, tenant_id) as tx:
                await Chatbots(tx).knowledge_changed(tenant_id, chatbot_id)
