"""Questions that a model puts so that they stand alone, for the search and nothing else."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import pytest

from domain.errors import AppError, EngineFailed
from domain.generation import Delta, EngineTarget, GenerationRequest, PromptMessage
from domain.metering import CallKind
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.retrieval.retrieve import retrieve
from domain.turn import AnswerEnded, StopSignal, run_turn
from tests.fixtures.retrieval import chunk_of, retrieval_ports
from tests.fixtures.twins import TwinGenerator, TwinMeter, TwinRetriever, passage, turn_input, turn_ports

SAID = (PromptMessage("user", "Is there a lamp?"), PromptMessage("assistant", "Yes, in blue."))


@dataclass
class Noting(TwinRetriever):
    asked: list[RetrievalRequest] = field(default_factory=list)

    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        self.asked.append(request)
        return await super().retrieve(request)


@dataclass
class Rewriting(TwinGenerator):
    """Says `rewrite` when it is asked to rewrite."""

    rewrite: str | AppError = ""

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        said = [self.rewrite] if request.id.startswith("rewrite-") else self.script[target.engine]
        self.requests.append(request)
        twin = TwinGenerator({target.engine: said})
        async for delta in twin.generate(target, request):
            yield delta


async def query_of(
    rewrite: str | AppError, question: str = "How much is it?", meter: TwinMeter | None = None, **config: object
) -> tuple[str | None, TwinMeter, AnswerEnded]:
    """What was searched for, what was metered, and the end."""
    meter = meter or TwinMeter()
    retriever = Noting([passage("The lamp costs 40 euros.")])
    generator = Rewriting({"first": ["40 euros."], "second": ["40 euros."]}, rewrite=rewrite)
    ports = replace(turn_ports(generator, meter=meter), retriever=retriever)
    turn = replace(turn_input(question, **config), history=SAID)
    ended = [event async for event in run_turn(turn, ports, StopSignal())][-1]
    assert isinstance(ended, AnswerEnded)
    return retriever.asked[0].query, meter, ended


async def test_what_the_model_says_is_searched_for_and_metered() -> None:
    found, meter, ended = await query_of('"What does the lamp cost?"\nIt is a lamp.', retrieval={"rewrite": "model"})
    assert found == "What does the lamp cost?"
    assert [call.kind for call in meter.tally.calls] == [CallKind.REWRITE, CallKind.ANSWER]
    assert ended.answer == "40 euros."


@pytest.mark.parametrize("said", ["", " \n ", "w" * 700, EngineFailed()])
async def test_what_is_no_question_leaves_it_to_the_rules(said: str | AppError) -> None:
    found, _, ended = await query_of(said, retrieval={"rewrite": "model"})
    assert found is None
    assert ended.answer == "40 euros."


async def test_no_model_is_asked_without_need() -> None:
    for question, rewrite in (("How much is it?", "rules"), ("w " * 200, "model")):
        found, meter, _ = await query_of("No.", question, retrieval={"rewrite": rewrite})
        assert found is None
        assert CallKind.REWRITE not in [call.kind for call in meter.tally.calls]


async def test_retrieval_searches_for_it() -> None:
    ports = retrieval_ports([chunk_of(0, "the lamp costs forty euros", 0.8)])
    turn = turn_input("How much is it?")
    config = turn.config.retrieval.model_copy(update={"rewrite": "model"})
    request = RetrievalRequest(turn.tenant_id, turn.chatbot_id, turn.question, config, SAID)
    by_model = await retrieve(replace(request, query="What does the lamp cost?"), ports)
    assert (by_model.query, by_model.rewritten) == ("What does the lamp cost?", True)
    by_rule = await retrieve(request, ports)
    assert (by_rule.query, by_rule.rewritten) == ("Is there a lamp? How much is it?", True)
