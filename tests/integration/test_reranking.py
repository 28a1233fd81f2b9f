"""Reranking by a real cross-encoder: alone, through its deployment, and while that is away."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import serve
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from actors.serve_ports import ServeReranker
from deployments.retrieval.reranker import Reranker
from domain.errors import Unavailable
from domain.retrieval.result import Reranking
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from storage.models.reranking import RerankingModel
from tests.fixtures.cross_encoder import LUCKY, make_cross_encoder
from tests.fixtures.retrieval import TwinEmbedder, TwinSearch, chunk_of, request_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TEXTS = ["a b c d", f"e f {LUCKY} g", "h i j"]
STORED = [chunk_of(place, text, 0.9 - 0.1 * place) for place, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


def test_a_model_scores_pairs(weights: str) -> None:
    scores = RerankingModel(weights, threads=1).scores("a question", TEXTS)
    assert max(range(3), key=scores.__getitem__) == 1
    assert RerankingModel(weights, threads=1).scores("a question", []) == []
    assert len(RerankingModel(weights, threads=1).scores("x " * 5_000, [*TEXTS, "y " * 5_000])) == 4


def test_a_model_with_several_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 scores"):
        RerankingModel(make_cross_encoder(tmp_path / "three", labels=3), threads=1)


@dataclass
class Handle:
    """A Serve handle's method over a replica in this process; or what Serve raises when there is none."""

    replica: Reranker
    failure: Exception | None = None
    calls: int = 0

    async def remote(self, question: str, texts: list[str]) -> list[float]:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return await self.replica.score(question, texts)


@pytest.fixture
def handle(weights: str, monkeypatch: pytest.MonkeyPatch) -> Handle:
    handle = Handle(Reranker(weights, threads=1))
    monkeypatch.setattr(serve, "get_deployment_handle", lambda *_: SimpleNamespace(score=handle))
    return handle


async def outcome(reranker: ServeReranker) -> tuple[Reranking, str]:
    """Whether the order is the cross-encoder's, and the text that it puts first."""
    ports = RetrievalPorts(TwinEmbedder(), TwinSearch(STORED), reranker=reranker)
    found = await retrieve(request_of("h", rerank="on", min_relevance=0, top_k=3, text_weight=0), ports)
    return found.reranking, found.kept[0].passage.text


async def test_the_order_is_the_cross_encoders(handle: Handle) -> None:
    assert await outcome(ServeReranker(seconds=60.0)) == (Reranking.DONE, TEXTS[1])


async def test_while_nobody_answers_the_order_stays_and_nobody_asks(handle: Handle) -> None:
    reranker, handle.failure = ServeReranker(seconds=60.0), DeploymentUnavailableError(DeploymentID("Reranker"))
    for _ in range(3):
        assert await outcome(reranker) == (Reranking.AWAY, TEXTS[0])
    assert handle.calls == 1
    handle.failure, reranker._away_until = None, 0.0
    assert await outcome(reranker) == (Reranking.DONE, TEXTS[1])


async def test_who_is_slow_is_not_waited_for(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(question: str, texts: list[str]) -> list[float]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(handle, "remote", never)
    assert await outcome(ServeReranker(seconds=0.01)) == (Reranking.AWAY, TEXTS[0])


async def test_a_question_that_fails_leaves_the_others_their_reranker(handle: Handle) -> None:
    reranker = ServeReranker(seconds=60.0)
    with pytest.raises(Unavailable):
        await reranker.score("q", ["x"] * 1_000)
    assert await outcome(reranker) == (Reranking.DONE, TEXTS[1])
