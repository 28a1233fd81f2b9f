"""Writes an export's archive: JSON Lines from the database, the original documents, and a manifest of it all."""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from domain.errors import NotFound
from domain.exports import FORMAT, Export, ExportKind
from domain.ids import DocumentId, TenantId
from storage.blobs import BlobStore, original_key
from storage.postgres.database import Database, system_tx
from storage.postgres.exports import ExportFiles

PIECE = 256 * 1024
Reveal = Callable[[TenantId, str, dict[str, Any]], dict[str, Any]]
"""Makes a row of a file readable, where columns are stored encrypted: tenant, file and row."""


async def write_archive(
    db: Database, blobs: BlobStore, export: Export, path: Path, reveal: Reveal | None = None
) -> None:
    """Write the zip to `path`; memory holds PIECE bytes of rows, or one document, at a time.

    The tables are of one moment. A document that is deleted meanwhile is listed and missing.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        writer = _Writer(archive)
        documents: list[tuple[DocumentId, str]] = []
        async with system_tx(db) as tx:
            files = ExportFiles(tx, export)
            await files.begin()
            for name in files.names:
                keep = documents if export.kind is ExportKind.TENANT and name == "documents" else None
                rows = _rows(files.lines(name), export, name, reveal, keep)
                await writer.write(f"{name}.jsonl", rows)
        for document_id, media_type in documents:
            try:
                data = await blobs.get(original_key(export.tenant_id, document_id))
            except NotFound:
                continue
            # Under its id: a name that somebody chose is no path. documents.jsonl has the name.
            await writer.write(f"documents/{document_id}", _once(data), media_type=media_type)
        await writer.finish(export)


async def _rows(
    lines: AsyncIterator[str],
    export: Export,
    name: str,
    reveal: Reveal | None,
    documents: list[tuple[DocumentId, str]] | None,
) -> AsyncIterator[bytes]:
    async for line in lines:
        row: dict[str, Any] = json.loads(line)
        if reveal is not None:
            row = reveal(export.tenant_id, name, row)
        if documents is not None:
            documents.append((DocumentId(row["id"]), row["media_type"]))
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


class _Writer:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._files: list[dict[str, Any]] = []

    async def write(self, name: str, parts: AsyncIterator[bytes], **more: str) -> None:
        digest, size, count, waiting = hashlib.sha256(), 0, 0, bytearray()
        with self._archive.open(name, "w", force_zip64=True) as entry:
            async for part in parts:
                digest.update(part)
                size, count = size + len(part), count + 1
                waiting += part
                if len(waiting) >= PIECE:
                    await asyncio.to_thread(entry.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(entry.write, bytes(waiting))
        rows = {"rows": count} if name.endswith(".jsonl") else {}
        self._files.append({"name": name, "size": size, "sha256": digest.hexdigest(), **rows, **more})

    async def finish(self, export: Export) -> None:
        manifest = {
            "format": FORMAT,
            "id": str(export.id),
            "kind": export.kind.value,
            "tenant_id": str(export.tenant_id),
            "subject": str(export.subject),
            "requested_at": export.requested_at.isoformat(),
            "files": self._files,
        }
        await asyncio.to_thread(self._archive.writestr, "manifest.json", json.dumps(manifest, indent=1))
