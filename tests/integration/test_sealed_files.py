"""The pipeline's first stage on sealed files: it opens what belongs to its document, and stores nothing in clear."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from configs.settings import Settings
from domain.errors import Unreadable
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parse_stage import parse_and_chunk
from pipelines.parsed_json import load_parsed
from pipelines.parsing.registry import TEXT
from pipelines.work import IngestSizing
from storage.blobs import ORIGINAL, PARSED, BlobStore, original_key, parsed_key
from storage.keys import DocumentKeys, TenantCipher
from storage.models.embedding import embedding_model_path
from tests.fixtures.sealed import files_with

TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
CIPHER = TenantCipher(TENANT, {1: b"\x01" * 32, 2: b"\x02" * 32})
OLDER = TenantCipher(TENANT, {1: b"\x01" * 32})
NOTE = b"A xylophagus eats wood. It lives for a year."


@pytest.fixture
def sizing(tmp_path: Path) -> IngestSizing:
    return IngestSizing(str(tmp_path / "objects"), embedding_model_path(Settings()))


def row_of(document: DocumentId, keys: str) -> dict[str, Any]:
    """As Ray Data hands it over: text only."""
    return {"index": 0, "item": [str(TENANT), str(BOT), str(document), "note.txt", TEXT, keys]}


async def ingested(sizing: IngestSizing, keys: DocumentKeys, stored: bytes, given: str | None = None) -> dict[str, Any]:
    """The only row that comes out of a document stored like this."""
    await BlobStore(sizing.objects_url).put(original_key(TENANT, keys.document_id), stored)
    work = row_of(keys.document_id, keys.dumps() if given is None else given)
    # The stage runs a loop of its own, in a process of its own.
    [row] = await asyncio.to_thread(parse_and_chunk, work, sizing)
    return row


async def test_a_sealed_file_is_read_and_its_text_is_sealed(sizing: IngestSizing) -> None:
    keys = CIPHER.for_document(DocumentId(uuid4()))
    row = await ingested(sizing, keys, OLDER.for_document(keys.document_id).seal(ORIGINAL, NOTE))
    assert row["text"] == NOTE.decode()
    stored = await BlobStore(sizing.objects_url).get(parsed_key(TENANT, keys.document_id))
    assert load_parsed(keys.open(PARSED, stored)).text == NOTE.decode()
    with pytest.raises(Unreadable):
        OLDER.for_document(keys.document_id).open(PARSED, stored)
    assert files_with(Path(sizing.objects_url), ["xylophagus"]) == []


async def test_a_file_that_is_not_the_documents_own_fails_alone(sizing: IngestSizing) -> None:
    keys, other = (CIPHER.for_document(DocumentId(uuid4())) for _ in range(2))
    sealed = keys.seal(ORIGINAL, NOTE)
    for stored in (other.seal(ORIGINAL, NOTE), keys.seal(PARSED, NOTE), sealed[:-1], sealed + b"x", NOTE, b""):
        row = await ingested(sizing, keys, stored)
        assert (row["total"], row["reason"]) == (0, Unreadable.default)
    assert await BlobStore(sizing.objects_url).list_keys(f"{TENANT}/blobs/{other.document_id}") == []


async def test_a_file_from_before_is_read_as_it_is(sizing: IngestSizing) -> None:
    keys = CIPHER.for_document(DocumentId(uuid4()))
    row = await ingested(sizing, keys, NOTE, given="")
    assert row["text"] == NOTE.decode()
    stored = await BlobStore(sizing.objects_url).get(parsed_key(TENANT, keys.document_id))
    assert load_parsed(keys.open(PARSED, stored, clear_too=True)).text == NOTE.decode()
