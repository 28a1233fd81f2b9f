"""What a look into a table finds: by filters, by sections, by the keys of chunks."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from domain.documents import Chunk
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.retrieval.result import Candidates, ChunkQuery
from storage.vectors.store import VectorStore

TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
GUIDE, TERMS = DocumentId(uuid4()), DocumentId(uuid4())
SECTIONS = ["Shipping", "Shipping › Returns", "Ship%", 'It\'s "quoted"', "Warranty", None]


@pytest.fixture
async def store(tmp_path: Path) -> VectorStore:
    store = VectorStore(str(tmp_path / "objects"), 6)
    for document, name in ((GUIDE, "guide.md"), (TERMS, "terms.pdf")):
        chunks = [
            Chunk(place, 10 * place, 10 * place + 9, f"zebra {place} of {name}", section=section)
            for place, section in enumerate(SECTIONS)
        ]
        await store.add_document(TENANT, BOT, document, name, chunks, np.eye(6, dtype=np.float32))
    return store


async def find(store: VectorStore, text: str | None = "zebra", **query: Any) -> Candidates:
    fields: dict[str, Any] = {"vector": [1.0] * 6, "depth": 50, **query}
    return await store.searching.find(ChunkQuery(TENANT, BOT, text=text, **fields))


async def test_both_searches_obey_the_filter(store: VectorStore) -> None:
    found = await find(store, documents=[TERMS])
    assert len(found.by_vector) == len(found.by_text) == 6
    assert {document for document, _ in found.passages} == {TERMS}
    assert (await find(store, documents=[])).passages == {}
    assert (await find(store, documents=[DocumentId(uuid4())])).passages == {}
    everything = [DocumentId(uuid4()) for _ in range(2_000)] + [GUIDE, TERMS]
    assert len((await find(store, documents=everything)).passages) == 12


@pytest.mark.parametrize(
    ("section", "ordinals"),
    [
        ("Shipping", {0, 1}),
        ("Shipping › ", {1}),
        ("Ship", {0, 1, 2}),
        ("Ship%", {2}),
        ("It's \"q", {3}),
        ("' OR 1=1 --", set()),
        ("shipping", set()),
        ("S_ip", set()),
        ("\U0010ffff", set()),
    ],
)
async def test_a_section_is_found_by_what_it_begins_with(store: VectorStore, section: str, ordinals: set[int]) -> None:
    found = await find(store, section=section, documents=[GUIDE])
    assert {ordinal for _, ordinal in found.by_vector} == ordinals
    assert {key[1] for key, _ in found.by_text} == ordinals


async def test_each_search_is_made_only_when_it_is_asked_for(store: VectorStore) -> None:
    by_vector = await find(store, text=None, vector=[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], depth=2)
    assert {ordinal for _, ordinal in by_vector.by_vector} == {2}
    assert not by_vector.by_text
    by_text = await find(store, text="zebra terms 4", vector=None, depth=3)
    assert not by_text.by_vector
    (best, score), *_ = by_text.by_text
    assert best == (TERMS, 4)
    assert score > 0
    assert len(by_text.by_text) == 3


async def test_passages_found_by_words_have_their_similarity(store: VectorStore) -> None:
    found = await find(store, text="4", vector=[0.0, 0.0, 0.0, 0.0, 3.0, 4.0], depth=2)
    assert found.passages[GUIDE, 4].similarity == pytest.approx(0.6)
    assert found.passages[GUIDE, 5].similarity == pytest.approx(0.8)


async def test_chunks_are_read_by_their_keys(store: VectorStore) -> None:
    keys = [(GUIDE, 1), (TERMS, 0), (TERMS, 99), (DocumentId(uuid4()), 1)]
    found = await store.searching.chunks(TENANT, BOT, keys)
    assert {key: one.text for key, one in found.items()} == {
        (GUIDE, 1): "zebra 1 of guide.md",
        (TERMS, 0): "zebra 0 of terms.pdf",
    }
    assert await store.searching.chunks(TENANT, BOT, []) == {}
    assert await store.searching.chunks(TENANT, ChatbotId(uuid4()), keys) == {}
    with pytest.raises(ValueError, match="UUID"):
        await store.searching.chunks(TENANT, BOT, [("' OR 1=1 --", 0)])  # type: ignore[list-item]


async def test_only_uuids_enter_a_filter(store: VectorStore) -> None:
    with pytest.raises(ValueError, match="UUID"):
        await find(store, documents=["' OR 1=1 --"])
