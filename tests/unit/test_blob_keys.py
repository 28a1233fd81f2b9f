"""Blob keys: what may enter a path of the object store."""

import pytest

from domain.errors import NotFound
from storage.blobs import BlobStore


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../x", "a/../b", "a//b", "a/.", "a/..", ".hidden", "a/.hidden", "a\\b", "a\x00b", "a b",
     "a/b/", "ä", "a\n", "x" * 600, "~/x", "a:b", "s3://bucket/x", "a/b..c"],
)  # fmt: skip
async def test_hostile_keys_are_refused_before_a_store_is_touched(key: str) -> None:
    blobs = BlobStore("memory://refused")
    for call in (blobs.put(key, b"x"), blobs.get(key), blobs.delete(key)):
        with pytest.raises(ValueError, match="blob key"):
            await call


async def test_prefixes_are_checked_like_keys() -> None:
    with pytest.raises(ValueError, match="blob key"):
        await BlobStore("memory://refused").delete_prefix("../..")


async def test_an_object_store_keeps_bytes() -> None:
    blobs = BlobStore("memory://bucket/prefix")
    await blobs.put("t/blobs/d/original", b"one")
    await blobs.put("t/blobs/d/original", b"two")
    await blobs.put("t/blobs/d/parsed.json", b"{}")
    assert await BlobStore("memory://bucket/prefix").get("t/blobs/d/original") == b"two"
    await blobs.delete_prefix("t/blobs/d")
    await blobs.delete_prefix("t/blobs/d")
    await blobs.delete("t/blobs/d/original")
    with pytest.raises(NotFound):
        await blobs.get("t/blobs/d/original")
