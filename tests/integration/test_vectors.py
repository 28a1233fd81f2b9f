"""The vector store over real LanceDB tables."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from domain.documents import Chunk
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.models.embedding import Vectors
from storage.vectors.places import has_no_table, root_of
from storage.vectors.store import NewDocument, VectorStore

DIMENSION = 8
TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())


def axis(number: int) -> Vectors:
    vector: Vectors = np.eye(DIMENSION, dtype=np.float32)[number]
    return vector


def chunks(texts: Sequence[str]) -> list[Chunk]:
    return [Chunk(place, 10 * place, 10 * place + 9, text, place + 1, "Part") for place, text in enumerate(texts)]


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    return VectorStore(str(tmp_path / "objects"), DIMENSION)


async def add(store: VectorStore, document: DocumentId, texts: Sequence[str], axes: Sequence[int]) -> None:
    vectors = np.stack([axis(number) for number in axes])
    await store.add_document(TENANT, BOT, document, "guide.pdf", chunks(texts), vectors)


async def found(store: VectorStore, question: str, vector: Vectors, min_score: float = 0.1) -> list[str]:
    passages = await store.search(TENANT, BOT, question, vector, top_k=5, min_score=min_score)
    return [passage.text for passage in passages]


async def test_a_passage_comes_back_with_its_place(store: VectorStore) -> None:
    document = DocumentId(uuid4())
    await add(store, document, ["zebra crossing", "monkey business"], [0, 1])
    [passage] = await store.search(TENANT, BOT, "where?", axis(1), top_k=3, min_score=0.5)
    assert (passage.document_id, passage.document_name, passage.ordinal) == (document, "guide.pdf", 1)
    assert (passage.start, passage.end, passage.page, passage.section) == (10, 19, 2, "Part")
    assert passage.similarity == pytest.approx(1.0)


async def test_both_rankings_count(store: VectorStore) -> None:
    await add(store, DocumentId(uuid4()), ["the red fox", "the blue fox", "a green bird"], [0, 1, 2])
    both = 0.8 * axis(0) + 0.6 * axis(1)
    assert (await found(store, "zzz", both))[0] == "the red fox"
    assert (await found(store, "blue", both))[0] == "the blue fox"
    assert (await found(store, "", both)) == ["the red fox", "the blue fox"]


async def test_words_alone_do_not_make_a_passage_relevant(store: VectorStore) -> None:
    await add(store, DocumentId(uuid4()), ["zebra"], [0])
    assert await found(store, "zebra", axis(3)) == []
    assert await found(store, "zebra", axis(3), min_score=0.0) == ["zebra"]


async def test_new_rows_are_found_by_their_words_before_and_after_optimizing(store: VectorStore) -> None:
    slanted = (0.5 * axis(0) + axis(1) + axis(2)) / 1.5
    await add(store, DocumentId(uuid4()), [f"filler {number}" for number in range(70)], [0] * 70)
    await store.optimize(TENANT, BOT)
    await add(store, DocumentId(uuid4()), ["東京都に住んでいます", "running dogs"], [1, 2])
    for _ in range(2):
        assert (await found(store, "dog", slanted))[0] == "running dogs"
        assert (await found(store, "東京", slanted))[0] == "東京都に住んでいます"
        await store.optimize(TENANT, BOT)
    await add(store, DocumentId(uuid4()), ["more"] * 80, [3] * 80)
    await store.optimize(TENANT, BOT)
    assert (await found(store, "dog", slanted))[0] == "running dogs"


async def test_adding_again_replaces_every_row_of_the_document(store: VectorStore) -> None:
    document, other = DocumentId(uuid4()), DocumentId(uuid4())
    await add(store, other, ["other"], [4])
    await add(store, document, ["one", "two", "three"], [0, 1, 2])
    await add(store, document, ["one again"], [0])
    assert await store.count(TENANT, BOT, document) == 1
    assert await store.count(TENANT, BOT) == 2
    assert await found(store, "two", axis(1)) == []
    await add(store, document, ["a", "b", "c", "d"], [0, 1, 2, 3])
    assert await store.count(TENANT, BOT, document) == 4


async def test_several_documents_are_one_commit_or_none(store: VectorStore) -> None:
    kept, first, second = (DocumentId(uuid4()) for _ in range(3))
    await store.add_document(TENANT, BOT, kept, "kept.txt", chunks(["kept"]), axis(0)[None])
    await store.add_document(TENANT, BOT, first, "old.txt", chunks(["old", "older"]), np.stack([axis(1), axis(2)]))
    good = NewDocument(first, "new.txt", chunks(["new"]), axis(1)[None])
    broken = NewDocument(second, "bad.txt", chunks(["bad"]), np.full((1, DIMENSION), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match="finite"):
        await store.add_documents(TENANT, BOT, [good, broken])
    assert [await store.count(TENANT, BOT, one) for one in (kept, first, second)] == [1, 2, 0]
    fine = NewDocument(second, "fine.txt", chunks(["a", "b"]), np.stack([axis(3), axis(4)]))
    await store.add_documents(TENANT, BOT, [good, fine])
    assert [await store.count(TENANT, BOT, one) for one in (kept, first, second)] == [1, 1, 2]
    await store.add_documents(TENANT, BOT, [])


async def test_another_name_is_that_of_every_chunk_of_the_document_alone(store: VectorStore) -> None:
    one, other = DocumentId(uuid4()), DocumentId(uuid4())
    await add(store, one, ["zebra crossing", "zebra feeding"], [0, 1])
    await add(store, other, ["zebra sleeping"], [2])
    name = 'it\'s "new"; --\u6771.pdf'
    await store.rename_document(TENANT, BOT, one, name)
    await store.rename_document(TENANT, ChatbotId(uuid4()), one, name)
    passages = await store.search(TENANT, BOT, "zebra", axis(0) + axis(1) + axis(2), top_k=5, min_score=0.1)
    assert {passage.text: passage.document_name for passage in passages} == {
        "zebra crossing": name,
        "zebra feeding": name,
        "zebra sleeping": "guide.pdf",
    }


async def test_readers_see_a_document_whole_or_not_at_all(store: VectorStore, tmp_path: Path) -> None:
    reader, document = VectorStore(str(tmp_path / "objects")), DocumentId(uuid4())
    sizes = {0, 30, 50}

    async def write() -> None:
        for round_ in range(6):
            size = (30, 50)[round_ % 2]
            await add(store, document, [f"text {round_}"] * size, [0] * size)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await reader.count(TENANT, BOT, document) in sizes
        passages = await reader.search(TENANT, BOT, "zzz", axis(0), top_k=20, min_score=0.5)
        assert len({passage.text for passage in passages}) <= 1
    await writing


async def test_another_process_finds_new_documents_at_once(store: VectorStore, tmp_path: Path) -> None:
    reader = VectorStore(str(tmp_path / "objects"))
    document = DocumentId(uuid4())
    assert await found(reader, "x", axis(0)) == []
    await add(store, document, ["first"], [0])
    assert await found(reader, "x", axis(0)) == ["first"]
    await store.remove_document(TENANT, BOT, document)
    assert await found(reader, "x", axis(0)) == []
    await store.remove_chatbot(TENANT, BOT)
    assert await found(reader, "x", axis(0)) == []
    await add(store, document, ["again"], [0])
    assert await found(reader, "x", axis(0)) == ["again"]


async def test_bots_and_tenants_are_apart(store: VectorStore, tmp_path: Path) -> None:
    document = DocumentId(uuid4())
    await add(store, document, ["secret"], [0])
    stranger, other_bot = TenantId(uuid4()), ChatbotId(uuid4())
    assert await store.search(stranger, BOT, "secret", axis(0), top_k=5, min_score=0.0) == []
    assert await store.search(TENANT, other_bot, "secret", axis(0), top_k=5, min_score=0.0) == []
    await store.remove_chatbot(stranger, BOT)
    await store.remove_document(stranger, BOT, document)
    assert await found(store, "secret", axis(0)) == ["secret"]
    assert (tmp_path / "objects" / str(TENANT) / "vectors" / f"{BOT}.lance").is_dir()


@pytest.mark.parametrize(
    "question",
    ['"', "' OR 1=1 --", "((", "AND OR NOT", "zebra +foo -bar^2 text:x~", "", "?!…", "\x00zebra", "\ud800", "🦓",
     "word " * 3_200, "".join(chr(c) for c in range(32, 16_032)), "*", "\\", "%s{}[]", "x" * 16_000],
)  # fmt: skip
async def test_a_question_is_only_text(store: VectorStore, question: str) -> None:
    await add(store, DocumentId(uuid4()), ["zebra"], [0])
    assert await found(store, question, axis(0)) == ["zebra"]


@pytest.mark.parametrize("wrong", ["../../etc", "x' OR '1'='1", "", "00000000"])
async def test_only_uuids_enter_paths_and_filters(store: VectorStore, wrong: str) -> None:
    good = uuid4()
    ids: Any
    for ids in ((wrong, good), (good, wrong)):
        with pytest.raises(ValueError, match="UUID"):
            await store.search(ids[0], ids[1], "x", axis(0), top_k=1, min_score=0)
    with pytest.raises(ValueError, match="UUID"):
        await store.remove_document(TENANT, BOT, wrong)  # type: ignore[arg-type]


async def test_vectors_that_do_not_fit_are_refused(store: VectorStore) -> None:
    document = DocumentId(uuid4())
    for vectors in (np.zeros((1, DIMENSION + 1)), np.zeros((2, DIMENSION)), np.full((1, DIMENSION), np.nan)):
        with pytest.raises(ValueError, match="vectors"):
            await store.add_document(TENANT, BOT, document, "n", chunks(["x"]), vectors.astype(np.float32))
    for vector in ([0.0] * 7, [float("nan")] * DIMENSION):
        with pytest.raises(ValueError, match="query"):
            await store.search(TENANT, BOT, "x", vector, top_k=1, min_score=0)


async def test_concurrent_writers_of_one_store_take_turns(store: VectorStore) -> None:
    documents = [DocumentId(uuid4()) for _ in range(8)]
    await asyncio.gather(*(add(store, document, ["a", "b"], [0, 1]) for document in documents))
    assert await store.count(TENANT, BOT) == 16


async def test_the_place_tells_that_there_never_was_a_document(store: VectorStore, tmp_path: Path) -> None:
    root = root_of(str(tmp_path / "objects"))
    assert has_no_table(root, TENANT, BOT)
    await add(store, DocumentId(uuid4()), ["The lamp is blue."], [0])
    assert not has_no_table(root, TENANT, BOT)
    assert not has_no_table("s3://bucket/prefix", TENANT, BOT)


async def test_generations_are_tables_of_their_own(store: VectorStore, tmp_path: Path) -> None:
    first, second = DocumentId(uuid4()), DocumentId(uuid4())
    await add(store, first, ["old way"], [0])
    # Another model may make longer vectors.
    reader = VectorStore(str(tmp_path / "objects"))
    longer = np.eye(16, dtype=np.float32)
    for document in (first, second):
        await reader.add_document(TENANT, BOT, document, "guide.pdf", chunks(["new way"]), longer[:1], generation=3)
    assert await found(store, "way", axis(0)) == ["old way"]
    passages = await reader.search(TENANT, BOT, "way", longer[0], top_k=5, min_score=0.1, generation=3)
    assert {passage.document_id for passage in passages} == {first, second}
    assert await reader.search(TENANT, BOT, "way", longer[0], top_k=5, min_score=0.1, generation=2) == []
    assert [await reader.count(TENANT, BOT, generation=number) for number in (0, 2, 3)] == [1, 0, 2]
    root = root_of(str(tmp_path / "objects"))
    assert [has_no_table(root, TENANT, BOT, number) for number in (0, 2, 3)] == [False, True, False]
    assert await reader.tables(TENANT) == [BOT]
    assert await reader.generations(TENANT, BOT) == [0, 3]


async def test_what_is_erased_goes_from_every_generation(tmp_path: Path) -> None:
    store, other_bot = VectorStore(str(tmp_path / "objects")), ChatbotId(uuid4())
    document, other = DocumentId(uuid4()), DocumentId(uuid4())
    for bot, number in ((BOT, 0), (BOT, 1), (BOT, 12), (other_bot, 1)):
        for one in (document, other):
            vectors = np.stack([axis(0)])
            await store.add_document(TENANT, bot, one, "guide.pdf", chunks(["text"]), vectors, generation=number)
    await store.remove_document(TENANT, BOT, document)
    assert await store.count(TENANT, BOT, document) == 0
    assert await store.count(TENANT, BOT) == 3
    assert await store.remains(TENANT, BOT, document) > 0
    await store.purge(TENANT, BOT)
    assert await store.remains(TENANT, BOT, document) == 0
    await store.remove_generation(TENANT, BOT, 12)
    await store.remove_generation(TENANT, BOT, 5)
    assert await store.generations(TENANT, BOT) == [0, 1]
    await store.remove_chatbot(TENANT, BOT)
    assert await store.tables(TENANT) == [other_bot]
    assert await store.count(TENANT, other_bot, document) == 1
    assert await store.remove_tenant(TENANT) == 1
    assert await store.tables(TENANT) == []


async def test_a_thorough_look_finds_what_a_quick_one_leaves(store: VectorStore) -> None:
    for number in range(4):
        await add(store, DocumentId(uuid4()), [f"note {number}"], [number])
    await store.optimize(TENANT, BOT)
    [key] = await store._tables.of_bot(TENANT, BOT)
    table = await store._open(key)
    assert table is not None
    assert (await table.stats())["fragment_stats"]["num_fragments"] > 1
    await store.optimize(TENANT, BOT, thorough=True)
    assert (await table.stats())["fragment_stats"]["num_fragments"] == 1
    stats = await table.index_stats("text_idx")
    assert (stats.num_indexed_rows, stats.num_unindexed_rows) == (4, 0)
    assert await found(store, "note", axis(2)) == ["note 2"]
    await store.optimize(TENANT, ChatbotId(uuid4()), thorough=True)
