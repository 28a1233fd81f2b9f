"""The reranker's turns, its failures and its health, with a scorer that can be held."""

import asyncio
import threading

import pytest

from deployments.retrieval.reranker import MAX_QUESTION_CHARS, MAX_TEXTS, MAX_WAITING, Reranker
from domain.errors import Unavailable
from tests.fixtures.conditions import eventually


class HeldScorer:
    def __init__(self) -> None:
        self.questions: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def scores(self, question: str, texts: list[str]) -> list[float]:
        self.questions.append(question)
        self.gate.wait(10)
        if "poison" in texts:
            raise RuntimeError("kernel failed")
        return [float("nan") if text == "nan" else float(len(text)) for text in texts]


@pytest.fixture
def scorer() -> HeldScorer:
    return HeldScorer()


@pytest.fixture
def reranker(scorer: HeldScorer) -> Reranker:
    reranker = Reranker("", scorer=scorer)
    scorer.questions.clear()
    return reranker


async def test_scores_keep_the_order_of_the_texts(reranker: Reranker) -> None:
    assert await reranker.score("q", ["aaa", "b", ""]) == [3.0, 1.0, 0.0]


@pytest.mark.parametrize("texts", [["poison"], ["nan"], ["x"] * (MAX_TEXTS + 1)])
async def test_what_cannot_be_scored_is_said(reranker: Reranker, texts: list[str]) -> None:
    with pytest.raises(Unavailable):
        await reranker.score("q", texts)
    assert await reranker.score("q", ["fine"]) == [4.0]


async def test_a_flood_is_refused_and_who_gave_up_is_not_scored(reranker: Reranker, scorer: HeldScorer) -> None:
    scorer.gate.clear()
    calls = [asyncio.create_task(reranker.score(f"q{place}", ["x"])) for place in range(MAX_WAITING)]
    await eventually(lambda: bool(scorer.questions))
    with pytest.raises(Unavailable):
        await reranker.score("one more", ["x"])
    for call in calls[1:]:
        call.cancel()
    await asyncio.gather(*calls[1:], return_exceptions=True)
    scorer.gate.set()
    assert await calls[0] == [1.0]
    assert await reranker.score("after", ["x"]) == [1.0]
    assert scorer.questions == ["q0", "after"]


async def test_a_long_question_is_cut(reranker: Reranker, scorer: HeldScorer) -> None:
    await reranker.score("x" * 16_000, ["x"])
    assert len(scorer.questions[0]) == MAX_QUESTION_CHARS


async def test_health_tells_a_model_that_hangs(reranker: Reranker) -> None:
    reranker.check_health()
    reranker._begun = -1_000_000.0
    with pytest.raises(RuntimeError):
        reranker.check_health()
