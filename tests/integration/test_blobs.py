"""Blobs in a folder."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import NotFound
from domain.ids import DocumentId, TenantId
from storage.blobs import BlobStore, document_prefix, original_key, parsed_key


async def test_bytes_of_a_document_come_and_go(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path / "objects"))
    tenant, document, other = TenantId(uuid4()), DocumentId(uuid4()), DocumentId(uuid4())
    data = bytes(range(256)) * 1000
    await blobs.put(original_key(tenant, document), data)
    await blobs.put(parsed_key(tenant, document), b"{}")
    await blobs.put(original_key(tenant, other), b"")
    assert await blobs.get(original_key(tenant, document)) == data
    assert await blobs.get(original_key(tenant, other)) == b""
    await blobs.delete_prefix(document_prefix(tenant, document))
    await blobs.delete_prefix(document_prefix(tenant, document))
    for key in (original_key(tenant, document), parsed_key(tenant, document)):
        with pytest.raises(NotFound):
            await blobs.get(key)
    assert await blobs.get(original_key(tenant, other)) == b""
    await blobs.delete(original_key(tenant, other))
    await blobs.delete(original_key(tenant, other))


async def test_the_keys_of_a_folder_are_listed(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path / "objects"))
    assert await blobs.list_keys("anchors") == []
    for key in ("anchors/b/2.jsonl", "anchors/a/1.jsonl", "anchors-of-others/1.jsonl"):
        await blobs.put(key, b"")
    (tmp_path / "objects" / "anchors" / ".writing-x").write_bytes(b"")
    assert await blobs.list_keys("anchors") == ["anchors/a/1.jsonl", "anchors/b/2.jsonl"]


async def test_a_reader_never_sees_half_a_write(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    versions = [bytes([number]) * 3_000_000 for number in range(4)]
    await blobs.put("a/b", versions[0])
    writing = asyncio.gather(*(blobs.put("a/b", version) for version in versions))
    while not writing.done():
        assert await blobs.get("a/b") in versions
    await writing
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


async def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    await blobs.put("a/b", b"kept")
    with pytest.raises(TypeError):
        await blobs.put("a/b", "not bytes")  # type: ignore[arg-type]
    assert await blobs.get("a/b") == b"kept"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
