"""What retrieval finds with the real embedding model: paragraphs, follow-ups, and that documents do not answer."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from configs.settings import Settings
from domain.generation import PromptMessage
from domain.ids import ChatbotId, TenantId
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from storage.models.embedding import EmbeddingModel, embedding_model_path
from storage.vectors.store import VectorStore
from tests.fixtures.xquad import Asked, Xquad, load_xquad

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
ARTICLES = 5


class Library:
    """The articles but the last in a table; questions are about all of them."""

    def __init__(self, data: Xquad, store: VectorStore) -> None:
        self.data, self.store = data, store
        self._model = EmbeddingModel(embedding_model_path(Settings()), threads=2)
        self._known: dict[str, list[float]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        """Embed many at once, which is quicker."""
        self._known |= dict(zip(texts, self._model.encode(texts).tolist(), strict=True))

    async def fill(self) -> None:
        for document, chunks in list(zip(self.data.documents, self.data.chunks, strict=True))[:-1]:
            vectors = self._model.encode([chunk.text for chunk in chunks])
            await self.store.add_document(TENANT, BOT, document, "article", chunks, vectors)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if missing := [text for text in texts if text not in self._known]:
            self.learn(missing)
        return [self._known[text] for text in texts]

    async def find(self, text: str, *history: PromptMessage, **config: object) -> Retrieval:
        request = RetrievalRequest(TENANT, BOT, text, RetrievalConfig.model_validate(config), history)
        return await retrieve(request, RetrievalPorts(self, self.store.searching))

    def holds(self, result: Retrieval, asked: Asked) -> bool:
        return (self.data.documents[asked.article], asked.paragraph) in {found.key for found in result.kept}


@pytest.fixture(scope="module")
def data() -> Xquad:
    found = load_xquad("en", ARTICLES)
    if found is None:
        pytest.skip("the data set XQuAD is not beside the project")
    return found


@pytest.fixture
async def library(data: Xquad, tmp_path: Path) -> Library:
    library = Library(data, VectorStore(str(tmp_path)))
    await library.fill()
    return library


async def test_questions_find_their_paragraph_and_others_find_none(library: Library) -> None:
    own = [asked for asked in library.data.questions if asked.article < ARTICLES - 1]
    foreign = [asked for asked in library.data.questions if asked.article == ARTICLES - 1]
    library.learn([asked.text for asked in library.data.questions])
    held = [library.holds(await library.find(asked.text), asked) for asked in own]
    assert sum(held) / len(held) >= 0.95
    refused = [not (await library.find(asked.text)).kept for asked in foreign]
    assert sum(refused) / len(refused) >= 0.9


async def test_follow_ups_find_what_they_would_with_their_names(library: Library) -> None:
    pairs = [pair for pair in library.data.follow_ups() if pair.asked.article < ARTICLES - 1][::2]
    assert len(pairs) > 20
    together = [f"{pair.before.text} {pair.text}" for pair in pairs]
    library.learn([*together, *(pair.text for pair in pairs), *(pair.asked.text for pair in pairs)])
    found: dict[str, int] = {"off": 0, "rules": 0, "named": 0}
    for pair in pairs:
        history = (PromptMessage("user", pair.before.text), PromptMessage("assistant", pair.before.answer))
        for rewrite in ("off", "rules"):
            result = await library.find(pair.text, *history, rewrite=rewrite, min_relevance=0, top_k=1)
            found[rewrite] += library.holds(result, pair.asked)
        result = await library.find(pair.asked.text, min_relevance=0, top_k=1)
        found["named"] += library.holds(result, pair.asked)
    assert found["rules"] > found["off"]
    assert found["rules"] >= 0.95 * found["named"]
