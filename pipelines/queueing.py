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
from storage.postgres.database import Database, tenant_tx
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

    Raises QuotaExceeded, NotFound, StorageFull, and JobEnded for a job that takes no more.
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


def host_of(source: str | None) -> str | None:
    """Of a web address: its path and query may say anything, and the log keeps what it is told."""
    match = _WEB_HOST.match(source or "")
    return match[1] if match else None
