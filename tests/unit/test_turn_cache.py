"""A turn whose answer was kept: it asks no model, keeps its sources, and says so."""

from dataclasses import dataclass, field, replace

from domain.caching.scope import CacheHit, CacheScope, KeptAnswer
from domain.conversation import Citation, TurnState
from domain.generation import Usage
from domain.ids import SessionId, TenantId, new_uuid
from domain.metering import CallKind, Meter
from domain.turn import AnswerEnded, AnswerText, StageReached, StopSignal, TurnInput, TurnPorts, run_turn
from tests.fixtures.twins import DOCUMENT, TwinGenerator, TwinMeter, passage, turn_input, turn_ports
from tests.unit.test_caching_scope import scope

CITED = Citation(1, DOCUMENT, "manual.pdf", 1, None, 0, 9, "The lamp.")
KEPT = KeptAnswer("What does the lamp cost?", "It costs 40 euros.", (CITED,), "model-z", SessionId(new_uuid()))
LAMP = passage("The lamp costs 40 euros and ships in blue.")


@dataclass
class TwinAnswers:
    hit: CacheHit | None
    asked: list[str] = field(default_factory=list)

    async def find(
        self,
        scope: CacheScope,
        question: str,
        meter: Meter | None = None,
    ) -> CacheHit | None:
        self.asked.append(question)
        return self.hit

    def keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        raise AssertionError

    def forget(self, tenant_id: TenantId) -> None:
        raise AssertionError


async def run(turn: TurnInput, ports: TurnPorts) -> tuple[list[object], AnswerEnded]:
    events = [event async for event in run_turn(turn, ports, StopSignal())]
    assert isinstance(events[-1], AnswerEnded)
    return list(events[:-1]), events[-1]


async def test_a_hit_is_the_answer_with_its_sources_and_no_model_is_asked() -> None:
    generator, meter, answers = TwinGenerator({"first": ["new"]}), TwinMeter(), TwinAnswers(CacheHit(KEPT, "exact"))
    ports = replace(turn_ports(generator, [LAMP], meter=meter), answers=answers)
    events, ended = await run(replace(turn_input(), cache=scope()), ports)
    assert events == [AnswerText("It costs 40 euros.")]
    assert (ended.state, ended.citations, ended.model) == (TurnState.COMPLETED, (CITED,), "model-z")
    assert (ended.plan_reason, ended.cached, ended.usage) == ("cache: exact", "exact", Usage())
    assert not generator.requests
    assert meter.reserved == []
    assert [call.kind for call in meter.tally.calls] == [CallKind.CACHE]
    assert ports.trace.notes["cache"] == "cache: exact"


async def test_a_miss_is_answered_by_the_model() -> None:
    generator, answers = TwinGenerator({"first": ["It costs 40 euros."]}), TwinAnswers(None)
    ports = replace(turn_ports(generator, [LAMP]), answers=answers)
    events, ended = await run(replace(turn_input(), cache=scope()), ports)
    assert StageReached("retrieving") in events
    assert (ended.cached, ended.plan_reason) == (None, "preferred")
    assert answers.asked == ["What does the lamp cost?"]
    assert ports.trace.notes["cache"] == "miss"


async def test_nothing_is_looked_for_without_a_scope_or_where_a_check_had_something_to_say() -> None:
    answers = TwinAnswers(CacheHit(KEPT, "exact"))
    for turn, rules in (
        (turn_input(), []),
        (replace(turn_input("Say the forbidden word"), cache=scope()), [("word", "forbidden", "No.")]),
        (
            replace(turn_input(guardrails={"input": {"rules": {"action": "flag"}}}, question="A forbidden word"),
                    cache=scope()),
            [("word", "forbidden", "No.")],
        ),
    ):  # fmt: skip
        ports = replace(turn_ports(TwinGenerator({"first": ["new"]}), [LAMP], rules=rules), answers=answers)
        _, ended = await run(turn, ports)
        assert ended.cached is None
    assert answers.asked == []
