"""Puts a document into the queue of ingestion: its row, its sealed bytes, its event and its audit entry, or none."""

import asyncio
import re
from typing import Protocol

from billing.entitlements import locked_plan_of
from domain.audit import Action, Details, Origin, Target
from domain.document_filter import Metadata
from domain.documents import Document
from domain.events import EventKind
from domain.ids import ChatbotId, JobId, TenantId
from storage.blobs import ORIGINAL, original_key
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, Transaction, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.jobs import Jobs
from storage.postgres.outbox import Outbox
from storage.postgres.tenant_keys import keys_of

_WEB_HOST = re.compile(r"https?://(?:[^/?#@]*@)?([A-Za-z0-9.-]{1,253})", re.IGNORECASE)


class Bytes(Protocol):
    """What a file holds."""

    @property
    def size(self) -> int: ...

    @property
    def content_hash(self) -> str:
        """SHA-256, hexadecimal."""

    async def read(self) -> bytes: ...


class Blobs(Protocol):
    async def put(self, key: str, data: bytes) -> None: ...


async def queue_document(
    db: Database,
    blobs: Blobs,
    tenant_id: TenantId,
    bot: ChatbotId,
    name: str,
    media_type: str,
    content: Bytes,
    origin: Origin,
    *,
    metadata: Metadata | None = None,
    source: str | None = None,
    job_id: JobId | None = None,
) -> tuple[Document, bool]:
    """The document, and whether this call queued it. The bytes are stored before the row can be seen.

    Of a content that is there already, `metadata` is merged into what is said of it. Raises QuotaExceeded, NotFound,
    StorageFull, Unprocessable for too much metadata, and JobEnded for a job that takes no more.
    """
    # Before the transaction: making a key must not wait for one that waits for it.
    cipher = await keys_of(db, tenant_id)
    async with tenant_tx(db, tenant_id) as tx:
        plan = await locked_plan_of(tx, tenant_id)
        await Chatbots(tx).lock(tenant_id, bot)
        if job_id is not None:
            await Jobs(tx, tenant_id).join(bot, job_id)
        documents = Documents(tx)
        document, queued = await documents.insert(
            tenant_id,
            bot,
            name,
            media_type,
            content.size,
            content.content_hash,
            cipher.version,
            metadata,
            source,
        )
        if not queued and metadata:
            document = await tell_again(tx, origin, document, metadata)
        if job_id is not None:
            await Jobs(tx, tenant_id).add_document(job_id, document.id, queued=queued)
        if queued:
            # The row counts itself already.
            plan.allow_document(await documents.count(tenant_id, bot) - 1)
            data, keys = await content.read(), cipher.for_document(document.id)
            sealed = await asyncio.to_thread(keys.seal, ORIGINAL, data)
            await blobs.put(original_key(tenant_id, document.id), sealed)
            payload = {"chatbot_id": str(bot), "document_id": str(document.id)}
            await Outbox(tx).append(tenant_id, EventKind.DOCUMENT_QUEUED, f"document:{document.id}", payload)
            # Without its name, which may say anything and stays in the log when the document is erased.
            details: Details = {"chatbot_id": str(bot), "size": content.size}
            if job_id is not None:
                details = {**details, "job_id": str(job_id)}
            if host := host_of(source):
                details = {**details, "source": host}
            target = Target("document", str(document.id))
            await Audit(tx).append(tenant_id, origin, Action.DOCUMENT_UPLOAD, target, details)
    return document, queued


async def tell_again(tx: Transaction, origin: Origin, document: Document, metadata: Metadata) -> Document:
    """Merge what is said anew of a document that is there, and log it. The caller holds the chatbot's row.

    Raises Unprocessable for too many names.
    """
    document, changed = await Documents(tx).told_again(document, metadata)
    if changed:
        details: Details = {"chatbot_id": str(document.chatbot_id), "size": document.size, "fields": ["metadata"]}
        target = Target("document", str(document.id))
        await Audit(tx).append(document.tenant_id, origin, Action.DOCUMENT_UPDATE, target, details)
    return document


def host_of(source: str | None) -> str | None:
    """Of a web address: its path and query may say anything, and the log keeps what it is told."""
    match = _WEB_HOST.match(source or "")
    return match[1] if match else None
