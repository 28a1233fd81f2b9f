"""What the stages hand over together is committed together, and what cannot be written does not take others along."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from domain.documents import Recognition
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines import ingest as pipeline
from pipelines.embed_stage import EmbedPool
from pipelines.parsing.registry import TEXT
from pipelines.work import EmbeddedDocument, FailedDocument, IngestSizing, InterruptedDocument, Result, WorkItem
from storage.vectors.store import NewDocument, VectorStore

TENANT = TenantId(uuid4())


class CountingStore(VectorStore):
    """Counts what is committed at once, and refuses documents of a name."""

    def __init__(self, objects_url: str) -> None:
        super().__init__(objects_url)
        self.commits: list[int] = []

    async def add_documents(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        documents: Sequence[NewDocument],
        *,
        generation: int = 0,
    ) -> None:
        if any(one.name == "refused.txt" for one in documents):
            raise OSError("no")
        self.commits.append(len(documents))
        await super().add_documents(tenant_id, chatbot_id, documents, generation=generation)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(str(tmp_path))


def item(bot: ChatbotId, name: str = "a.txt") -> WorkItem:
    return WorkItem(TENANT, bot, DocumentId(uuid4()), name, TEXT)


def row(index: int, ordinal: int = 0, total: int = 1) -> dict[str, Any]:
    vector = np.eye(4, dtype=np.float32)[ordinal]
    places = {"index": index, "total": total, "pages": 0, "ordinal": ordinal, "start": ordinal, "end": ordinal + 1}
    reason = "" if total else "The file is empty."
    return {
        **places,
        "page": 0,
        "section": "",
        "language": "",
        "notice": "Page 2 holds no text." if total > 1 else "",
        "recognised": total if total > 1 else 0,
        "confidence": 0.5,
        "text": f"chunk {ordinal}",
        "reason": reason,
        "vector": vector,
    }


async def results_of(
    monkeypatch: pytest.MonkeyPatch, store: VectorStore, items: list[WorkItem], *batches: list[dict[str, Any]]
) -> list[Result]:
    """Of a run whose stages hand over these rows."""

    def hand_over(*_: object) -> Iterator[dict[str, Any]]:
        for rows in batches:
            yield {name: [one[name] for one in rows] for name in rows[0]}

    monkeypatch.setattr(pipeline, "_streamed", hand_over)
    monkeypatch.setattr(pipeline, "FEW_ITEMS", 0)
    return [one async for one in pipeline.ingest(items, IngestSizing("", ""), EmbedPool([]), store)]


async def test_documents_of_a_bot_that_end_together_are_one_commit(
    monkeypatch: pytest.MonkeyPatch, store: CountingStore
) -> None:
    bot, other = ChatbotId(uuid4()), ChatbotId(uuid4())
    items = [item(bot), item(bot), item(other), item(bot), item(bot)]
    first = [row(0), row(1, 0, 2), row(1, 1, 2), row(2), row(3, 0, 2), row(4, 0, 0)]
    results = await results_of(monkeypatch, store, items, first, [row(3, 1, 2)])
    assert sorted(store.commits) == [1, 1, 2]
    assert {one.item for one in results if isinstance(one, EmbeddedDocument)} == set(items[:4])
    assert [one.reason for one in results if isinstance(one, FailedDocument)] == ["The file is empty."]
    told = {one.item: (one.notice, one.recognition) for one in results if isinstance(one, EmbeddedDocument)}
    assert told[items[0]] == (None, None)
    assert told[items[1]] == ("Page 2 holds no text.", Recognition(2, 0.5))
    found = [await store.count(TENANT, one.chatbot_id, one.document_id) for one in items]
    assert found == [1, 2, 1, 2, 0]


async def test_one_that_cannot_be_written_is_interrupted_alone(
    monkeypatch: pytest.MonkeyPatch, store: CountingStore
) -> None:
    bot = ChatbotId(uuid4())
    items = [item(bot), item(bot, "refused.txt"), item(bot)]
    results = await results_of(monkeypatch, store, items, [row(0), row(1), row(2)])
    assert {one.item for one in results if isinstance(one, InterruptedDocument)} == {items[1]}
    assert [await store.count(TENANT, bot, one.document_id) for one in items] == [1, 0, 1]


async def test_a_run_that_loses_chunks_says_so(monkeypatch: pytest.MonkeyPatch, store: CountingStore) -> None:
    with pytest.raises(RuntimeError, match="incomplete"):
        await results_of(monkeypatch, store, [item(ChatbotId(uuid4()))], [row(0, 0, 2)])
    assert store.commits == []
