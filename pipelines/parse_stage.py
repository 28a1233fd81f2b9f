"""The first stage: fetch a document's bytes, parse them in the sandbox, keep the text, cut it into chunks."""

import asyncio
from dataclasses import replace
from typing import Any

import structlog

from domain.chunking import cut
from domain.documents import IngestionFailure, ParsedDocument
from domain.errors import AppError, NotFound
from pipelines.language import language_of
from pipelines.parsed_json import dump_parsed, load_parsed
from pipelines.parsing.second_reading import parse_twice
from pipelines.work import IngestSizing, WorkItem, chunking_of
from storage.blobs import ORIGINAL, PARSED, BlobStore, original_key, parsed_key
from storage.keys import DocumentKeys
from storage.models.embedding import embedding_token_count

log = structlog.get_logger(__name__)

NO_PAGE = 0
NO_TEXT = "The document contains no text."
UNREADABLE = "The document could not be processed."
Row = dict[str, Any]
"""One chunk, with the index of its work item; or a failed item, with `total` 0 and a `reason`."""


def parse_and_chunk(row: Row, sizing: IngestSizing) -> list[Row]:
    """Rows of one document, `total` of them; a failure is a row and never an exception, for others share the run."""
    index, item = row["index"], WorkItem(*row["item"])
    try:
        return asyncio.run(_chunks(index, item, sizing))
    except IngestionFailure as failure:
        return [_failed(index, str(failure))]
    except AppError as error:
        return [_failed(index, error.message)]
    except Exception:
        log.exception("document_not_parsed", document_id=str(item.document_id), tenant_id=str(item.tenant_id))
        return [_failed(index, UNREADABLE)]


def parsed_with_language(data: bytes, item: WorkItem, sizing: IngestSizing) -> ParsedDocument:
    """The parsed file; its language is that of its text, or what it says of itself. Raises as `parse` does."""
    parsed = parse_twice(data, item.name, item.media_type, sizing.limits, sizing.recognition)
    return replace(parsed, language=language_of(parsed.text) or parsed.language)


async def _chunks(index: int, item: WorkItem, sizing: IngestSizing) -> list[Row]:
    blobs = BlobStore(sizing.objects_url)
    keys = DocumentKeys.loads(item.tenant_id, item.document_id, item.keys) if item.keys else None
    kept = await _kept(item, blobs, keys) if item.again else None
    parsed = kept or await _parsed(item, blobs, keys, sizing)
    count = embedding_token_count(sizing.weights)
    chunks = cut(parsed, count, chunking_of(item, sizing))
    if not chunks:
        raise IngestionFailure(NO_TEXT)
    if kept is None:
        text = dump_parsed(parsed)
        await blobs.put(parsed_key(item.tenant_id, item.document_id), keys.seal(PARSED, text) if keys else text)
    return [
        {
            "index": index,
            "total": len(chunks),
            "pages": parsed.pages or NO_PAGE,
            "ordinal": passage.ordinal,
            "start": passage.start,
            "end": passage.end,
            "page": passage.page or NO_PAGE,
            "section": passage.section or "",
            "text": passage.text,
            "language": parsed.language or "",
            "notice": parsed.notice or "",
            "recognised": parsed.recognition.pages if parsed.recognition else 0,
            "confidence": parsed.recognition.confidence if parsed.recognition else 0.0,
            "reason": "",
        }
        for passage in chunks
    ]


async def _parsed(item: WorkItem, blobs: BlobStore, keys: DocumentKeys | None, sizing: IngestSizing) -> ParsedDocument:
    """From the document's bytes. Raises IngestionFailure, NotFound, Unreadable."""
    data = await blobs.get(original_key(item.tenant_id, item.document_id))
    if keys is not None:
        data = keys.open(ORIGINAL, data)
    return await asyncio.to_thread(parsed_with_language, data, item, sizing)


async def _kept(item: WorkItem, blobs: BlobStore, keys: DocumentKeys | None) -> ParsedDocument | None:
    """What was parsed before; None where that is not there, or is of a form that is not read any more."""
    try:
        data = await blobs.get(parsed_key(item.tenant_id, item.document_id))
    except NotFound:
        return None
    try:
        return load_parsed(keys.open(PARSED, data) if keys else data)
    except (ValueError, KeyError, TypeError):
        return None


def _failed(index: int, reason: str) -> Row:
    numbers = dict.fromkeys(("total", "pages", "ordinal", "start", "end", "page", "recognised"), 0)
    texts = dict.fromkeys(("section", "text", "language", "notice"), "")
    return {"index": index, **numbers, "confidence": 0.0, **texts, "reason": reason}
