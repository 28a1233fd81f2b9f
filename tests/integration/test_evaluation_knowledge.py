"""An evaluation over a real table with the real embedding model: a worse configuration is seen to be worse."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from actors.serve_ports import LanceRetriever
from configs.settings import Settings
from domain.documents import Chunk
from domain.ids import ChatbotId, DocumentId, new_uuid
from storage.models.embedding import EmbeddingModel, embedding_model_path
from storage.postgres.documents import StoredDocuments
from storage.vectors.store import VectorStore
from tests.fixtures.evaluation import Runner, evaluation_ports, started
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.knowledge import QuestionSet
from tests.fixtures.stored_turns import tenant_id_of
from tests.integration.test_question_sets import new_set

UNRELATED = ("Which enzyme unwinds the DNA double helix?", "How do I reset the password of my router?")


class LocalEmbedder:
    """The model in this process."""

    def __init__(self) -> None:
        self.model = EmbeddingModel(embedding_model_path(Settings()), threads=2)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        found: list[list[float]] = self.model.encode(texts).tolist()
        return found


@pytest.fixture(scope="module")
def postgres_url(make_database: Callable[[], str]) -> str:
    """A database of this file's own: an evaluator looks for work of all tenants."""
    return make_database()


async def test_a_configuration_that_finds_less_is_seen_to_be_worse(
    rig: GatewayRig, chat: Chat, xquad: QuestionSet
) -> None:
    tenant, bot, objects = tenant_id_of(chat), ChatbotId(UUID(chat.bot)), rig.services.settings.objects_url
    embedder, vectors = LocalEmbedder(), VectorStore(objects)
    for number, text in enumerate(xquad.paragraphs[:20]):
        chunks = [Chunk(0, 0, len(text), text)]
        await vectors.add_document(
            tenant, bot, DocumentId(new_uuid()), f"{number}.txt", chunks, embedder.model.encode([text])
        )
    asked = [one for one in xquad.questions if one.paragraph < 20][::5]
    specs: list[dict[str, Any]] = [
        {"question": one.text, "answers": [one.answer], "passages": [{"document": f"{one.paragraph}.txt"}]}
        for one in asked
    ]
    specs += [{"question": text, "answerable": False} for text in UNRELATED]
    questions = await new_set(chat.tenant, chat.bot, *specs)
    run = Runner(rig.services.db, evaluation_ports(LanceRetriever(embedder, objects, StoredDocuments(rig.services.db))))
    first = await started(chat.tenant, chat.bot, questions)
    live = (await run.until_ended(chat.tenant, first))["summary"]["metrics"]
    assert live["recall@5"]["value"] > 0.9
    assert live["recall@1"]["value"] > 0.6
    assert live["mrr"]["value"] >= live["recall@1"]["value"]
    await chat.tenant.call(
        "PUT", f"/chatbots/{chat.bot}/draft", json={"retrieval": {"top_k": 1, "min_score": 0.6, "min_relevance": 0.9}}
    )
    second = await started(chat.tenant, chat.bot, questions, draft=True)
    draft = (await run.until_ended(chat.tenant, second))["summary"]["metrics"]
    assert draft["recall@5"]["value"] == draft["recall@1"]["value"] < live["recall@1"]["value"]
    ids = {"a": first.rpartition("/")[2], "b": second.rpartition("/")[2]}
    found = (await chat.tenant.get(f"/chatbots/{chat.bot}/evaluations/compare", params=ids)).json()
    lost = round((live["recall@5"]["value"] - draft["recall@5"]["value"]) * live["recall@5"]["questions"])
    assert (found["better"], found["mixed"]) == (0, 0)
    assert found["worse"] >= lost > 0
