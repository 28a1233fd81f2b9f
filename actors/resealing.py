"""Seals what is in clear, from before encryption, or sealed with an older key; then the older key goes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from domain.errors import Erased, NotFound, Unreadable
from domain.ids import DocumentId, TenantId
from storage.blobs import ORIGINAL, PARSED, original_key, parsed_key
from storage.keys import DocumentKeys, TenantCipher
from storage.postgres.database import Database, system_tx, tenant_tx
from storage.postgres.resealing import FIRST, Batch, Resealing, tenants_to_reseal
from storage.postgres.tenant_keys import TenantKeys, keys_of

log = structlog.get_logger()

SETTLE_SECONDS = 25 * 3_600.0
"""An older key is kept for so long after the last value was sealed with it: Redis keeps answers for a day."""
Step = Callable[[Resealing, tuple[UUID, int]], Awaitable[Batch]]
TABLES: tuple[Step, ...] = (
    Resealing.messages,
    Resealing.citations,
    Resealing.sessions,
    Resealing.feedback,
    Resealing.summaries,
    Resealing.visitors,
    Resealing.questions,
    Resealing.expected_passages,
    Resealing.results,
    Resealing.traces,
)


class Files(Protocol):
    async def get(self, key: str) -> bytes: ...

    async def put(self, key: str, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over all tenants did."""

    rows: int
    documents: int
    keys: int
    """Older versions that are gone."""
    failed: tuple[TenantId, ...]
    """Tenants with something that does not open."""


async def reseal(db: Database, files: Files, settle_seconds: float = SETTLE_SECONDS) -> Pass:
    """One pass over the tenants that need it, in small transactions: it may be stopped and begun anew at any time.

    Raises Unavailable.
    """
    async with system_tx(db) as tx:
        tenants = await tenants_to_reseal(tx)
    rows = documents = keys = 0
    failed: list[TenantId] = []
    for tenant_id in tenants:
        try:
            # With the versions of this moment, not of some minutes ago.
            if db.vault is not None:
                db.vault.forget(tenant_id)
            cipher = await keys_of(db, tenant_id)
            for step in TABLES:
                rows += await _rows(db, cipher, step)
            documents += await _documents(db, cipher, files)
            keys += await _drop_older(db, cipher, settle_seconds)
        except Erased:
            continue
        except Unreadable:
            log.exception("resealing.unreadable", tenant=str(tenant_id))
            failed.append(tenant_id)
    if rows or documents or keys:
        log.info("resealing.done", tenants=len(tenants), rows=rows, documents=documents, keys=keys)
    return Pass(rows, documents, keys, tuple(failed))


async def _rows(db: Database, cipher: TenantCipher, step: Step) -> int:
    rows, after = 0, (FIRST, 0)
    while True:
        async with tenant_tx(db, cipher.tenant_id) as tx:
            batch = await step(Resealing(tx, cipher), after)
        rows += batch.rows
        if batch.last is None:
            return rows
        after = batch.last


async def _documents(db: Database, cipher: TenantCipher, files: Files) -> int:
    """One by one: a document's row is held while its files are written, so that nobody ingests or deletes it."""
    documents, after = 0, FIRST
    while True:
        async with tenant_tx(db, cipher.tenant_id) as tx:
            resealing = Resealing(tx, cipher)
            found = await resealing.lock_document(after)
            if found is None:
                return documents
            await _seal_files(cipher, found.id, files, clear_too=found.sealed_version is None)
            await resealing.mark_document(found.id)
        documents, after = documents + 1, found.id


async def _seal_files(cipher: TenantCipher, document_id: DocumentId, files: Files, *, clear_too: bool) -> None:
    keys = cipher.for_document(document_id)
    for name, key in (
        (ORIGINAL, original_key(cipher.tenant_id, document_id)),
        (PARSED, parsed_key(cipher.tenant_id, document_id)),
    ):
        try:
            data = await files.get(key)
        except NotFound:
            continue
        await files.put(key, await asyncio.to_thread(_sealed_anew, keys, name, data, clear_too))


def _sealed_anew(keys: DocumentKeys, name: str, data: bytes, clear_too: bool) -> bytes:
    return keys.seal(name, keys.open(name, data, clear_too=clear_too))


async def _drop_older(db: Database, cipher: TenantCipher, settle_seconds: float) -> int:
    if len(cipher.versions) == 1:
        return 0
    async with tenant_tx(db, cipher.tenant_id) as tx:
        if not await Resealing(tx, cipher).settled(settle_seconds):
            return 0
    async with system_tx(db) as tx:
        return await TenantKeys(tx).delete_before(cipher.tenant_id, cipher.version)
