"""Writes an export's archive: JSON Lines from the database, the original documents, and a manifest of it all."""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.errors import NotFound
from domain.exports import FORMAT, Export, ExportKind
from domain.ids import DocumentId, EvaluationId, MessageId, QuestionId, SessionId, TurnId, VisitorId
from domain.sealing import summary_place, trace_place
from storage.blobs import ORIGINAL, BlobStore, original_key
from storage.keys import TenantCipher
from storage.postgres.database import Database, system_tx
from storage.postgres.evaluations import answer_of
from storage.postgres.exports import ExportFiles
from storage.postgres.question_sets import expected_texts, question_fields
from storage.postgres.sealed_columns import attributes_of, citation_of, comment_of, content_of, title_of
from storage.postgres.tenant_keys import keys_of

PIECE = 256 * 1024
_Original = tuple[DocumentId, str, bool]
"""Id, media type, and whether it may still be stored in clear."""


async def write_archive(db: Database, blobs: BlobStore, export: Export, path: Path) -> None:
    """Write the zip to `path`; memory holds PIECE bytes of rows, or one document, at a time.

    The tables are of one moment. A document that is deleted meanwhile is listed and missing.
    """
    cipher = await keys_of(db, export.tenant_id)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        writer = _Writer(archive)
        documents: list[_Original] = []
        async with system_tx(db) as tx:
            files = ExportFiles(tx, export)
            await files.begin()
            for name in files.names:
                keep = documents if export.kind is ExportKind.TENANT and name == "documents" else None
                rows = _rows(files.lines(name), name, cipher, keep)
                await writer.write(f"{name}.jsonl", rows)
        for document_id, media_type, clear_too in documents:
            try:
                data = await blobs.get(original_key(export.tenant_id, document_id))
            except NotFound:
                continue
            keys = cipher.for_document(document_id)
            data = await asyncio.to_thread(partial(keys.open, ORIGINAL, data, clear_too=clear_too))
            # Under its id: a name that somebody chose is no path. documents.jsonl has the name.
            await writer.write(f"documents/{document_id}", _once(data), media_type=media_type)
        await writer.finish(export)


async def _rows(
    lines: AsyncIterator[str], name: str, cipher: TenantCipher, documents: list[_Original] | None
) -> AsyncIterator[bytes]:
    async for line in lines:
        row = _revealed(cipher, name, json.loads(line))
        if documents is not None:
            clear_too = row.pop("sealed_version", None) is None
            documents.append((DocumentId(UUID(row["id"])), row["media_type"], clear_too))
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _revealed(cipher: TenantCipher, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row in clear. Raises Unreadable."""
    text = row.pop("sealed", None)
    if text is None:
        return row
    sealed = bytes.fromhex(text.removeprefix("\\x"))
    match name:
        case "messages":
            session, message = SessionId(UUID(row["session_id"])), MessageId(UUID(row["id"]))
            row["content"] = content_of(cipher, session, message, sealed, None)
        case "sessions":
            row["title"] = title_of(cipher, SessionId(UUID(row["id"])), sealed, "")
        case "session_summaries":
            session, turn = SessionId(UUID(row["session_id"])), TurnId(UUID(row["turn_id"]))
            row["summary"] = cipher.open_text(summary_place(session, turn), sealed)
        case "visitor" | "visitors":
            row["attributes"] = attributes_of(cipher, VisitorId(UUID(row["id"])), sealed)
        case "feedback":
            row["comment"] = comment_of(cipher, MessageId(UUID(row["message_id"])), sealed, "")
        case "citations":
            session, message = SessionId(UUID(row["session_id"])), MessageId(UUID(row["message_id"]))
            found = citation_of(cipher, session, message, {**row, "sealed": sealed})
            row |= {"document_name": found.document_name, "section": found.section, "snippet": found.snippet}
        case "evaluation_questions":
            row |= question_fields(cipher, QuestionId(UUID(row["id"])), sealed)
        case "expected_passages":
            place = {**row, "question_id": UUID(row["question_id"]), "sealed": sealed}
            row["document_name"], row["snippet"] = expected_texts(cipher, place)
        case "evaluation_results":
            evaluation, question = EvaluationId(UUID(row["evaluation_id"])), QuestionId(UUID(row["question_id"]))
            row["answer"] = answer_of(cipher, evaluation, question, sealed)
        case "turn_traces":
            trace = json.loads(cipher.open_text(trace_place(TurnId(UUID(row["turn_id"]))), sealed))
            # A visitor's archive has their own words of it, and not the company's prompt.
            row |= {"query": trace.get("texts", {}).get("query")} if "session_id" in row else {"trace": trace}
    return row


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
