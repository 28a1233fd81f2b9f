"""Embedding models of a platform: which there are, where each is served, and what becomes of one that is not there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from actors.serve_ports import LanceRetriever
from configs.settings import Settings
from configs.sizing import embedder_deployment
from domain.errors import Unavailable
from domain.ids import ChatbotId, TenantId
from domain.knowledge import Knowledge
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import RetrievalRequest
from pipelines.embed_pools import EmbedPools
from storage.postgres.documents import StoredDocuments
from storage.vectors.places import database_of, root_of, table_of

TENANT, BOT = TenantId(uuid4()), ChatbotId(uuid4())
USUAL, OTHER = "all-MiniLM-L6-v2", "somebody/another-model"


@dataclass
class TwinEmbedder:
    asked: list[str] = field(default_factory=list)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        raise Unavailable("asked")


def test_every_model_has_a_deployment_of_its_own() -> None:
    settings = Settings(embedding_models=(OTHER, USUAL, "somebody/another_model"))
    assert settings.offered_embedding_models == (USUAL, OTHER, "somebody/another_model")
    names = [embedder_deployment(model, USUAL) for model in settings.offered_embedding_models]
    assert names[0] == "Embedder"
    assert len(set(names)) == 3
    assert all(name.replace("-", "").isalnum() for name in names)


def test_sizing_is_for_the_model() -> None:
    pools = EmbedPools(Settings(embedding_models=(OTHER,)))
    assert pools.sizing() == pools.sizing(USUAL)
    assert (pools.sizing(OTHER).weights, pools.sizing(OTHER).model) == (OTHER, OTHER)
    with pytest.raises(Unavailable, match="gone"):
        pools.sizing("gone")
    assert pools.open == {}


@pytest.fixture
def objects(tmp_path: Path) -> str:
    """A store in which the bot has two tables."""
    root = root_of(str(tmp_path))
    for generation in range(2):
        Path(database_of(root, TENANT), f"{table_of(BOT, generation)}.lance").mkdir(parents=True)
    return root


async def test_a_question_is_embedded_with_the_model_of_the_generation(objects: str) -> None:
    usual, other, documents = TwinEmbedder(), TwinEmbedder(), StoredDocuments(None)  # type: ignore[arg-type]
    retriever = LanceRetriever(usual, objects, documents, embedders={USUAL: usual, OTHER: other})

    async def ask(question: str, knowledge: Knowledge) -> None:
        await retriever.retrieve(RetrievalRequest(TENANT, BOT, question, RetrievalConfig(), (), knowledge))

    for question, knowledge in (
        ("unknown", Knowledge()),
        ("before", Knowledge(0, USUAL)),
        ("after", Knowledge(1, OTHER)),
    ):
        with pytest.raises(Unavailable, match="asked"):
            await ask(question, knowledge)
    assert (usual.asked, other.asked) == (["unknown", "before"], ["after"])
    with pytest.raises(Unavailable, match="gone"):
        await ask("away", Knowledge(1, "gone"))
    # A generation without a table needs no model.
    await ask("nothing", Knowledge(7, "gone"))
