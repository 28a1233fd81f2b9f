"""Embedding again takes the text that was parsed before, and parses only where there is none that can be read."""

import asyncio
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from configs.settings import Settings
from domain.chunking_config import ChunkingConfig
from domain.documents import Block, ParsedDocument
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parse_stage import parse_and_chunk
from pipelines.parsed_json import dump_parsed
from pipelines.parsing.registry import TEXT
from pipelines.work import IngestSizing, WorkItem
from storage.blobs import ORIGINAL, PARSED, BlobStore, original_key, parsed_key
from storage.keys import TenantCipher
from storage.models.embedding import embedding_model_path

TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
CIPHER = TenantCipher(TENANT, {1: bytes(32)})
WORDS = "The warranty of the kettle lasts twelve months. " * 60


@pytest.fixture
def sizing(tmp_path: Path) -> IngestSizing:
    return IngestSizing(str(tmp_path / "objects"), embedding_model_path(Settings()))


async def item(sizing: IngestSizing, *, parsed: bytes | None, original: bytes | None) -> WorkItem:
    keys = CIPHER.for_document(DocumentId(uuid4()))
    blobs = BlobStore(sizing.objects_url)
    if parsed is not None:
        await blobs.put(parsed_key(TENANT, keys.document_id), keys.seal(PARSED, parsed))
    if original is not None:
        await blobs.put(original_key(TENANT, keys.document_id), keys.seal(ORIGINAL, original))
    return WorkItem(TENANT, BOT, keys.document_id, "terms.txt", TEXT, keys.dumps(), generation=1, again="yes")


def rows_of(item: WorkItem, sizing: IngestSizing) -> list[dict[str, Any]]:
    return parse_and_chunk({"index": 0, "item": [str(value) for value in astuple(item)]}, sizing)


async def in_thread(item: WorkItem, sizing: IngestSizing) -> list[dict[str, Any]]:
    return await asyncio.to_thread(rows_of, item, sizing)


async def test_what_was_parsed_is_not_parsed_again(sizing: IngestSizing) -> None:
    parsed = ParsedDocument(WORDS, (Block(0, len(WORDS), 3, "Terms"),), 5, "en")
    # Were the document parsed, it would be missing.
    kept = await item(sizing, parsed=dump_parsed(parsed), original=None)
    rows = await in_thread(kept, sizing)
    assert {(row["page"], row["section"], row["reason"]) for row in rows} == {(3, "Terms", "")}
    assert all(WORDS[row["start"] : row["end"]] == row["text"] for row in rows)
    fine = replace(kept, chunking=ChunkingConfig(max_tokens=40, overlap_tokens=0).model_dump_json())
    assert len(await in_thread(fine, sizing)) > 2 * len(rows)
    first = await in_thread(replace(kept, again=""), sizing)
    assert (len(first), first[0]["total"]) == (1, 0)
    assert first[0]["reason"]


@pytest.mark.parametrize("damaged", [None, b"not JSON", b'{"text": 1}', b"[]"])
async def test_without_it_the_document_is_parsed(sizing: IngestSizing, damaged: bytes | None) -> None:
    again = await item(sizing, parsed=damaged, original=WORDS.encode())
    rows = await in_thread(again, sizing)
    assert rows[0]["total"] == len(rows) > 1
    # It is kept for the next time.
    await BlobStore(sizing.objects_url).delete(original_key(TENANT, again.document_id))
    assert await in_thread(again, sizing) == rows
