"""Attempts over the providers' official SDKs: whatever the first one does, the second answers, or the end is told."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from pydantic import SecretStr

from configs.settings import Settings
from configs.tables import FREE, EngineSpec, ModelSpec, ModelTable
from deployments.llm.catalog import build_engine
from deployments.llm.engines.protocol import Engine
from domain.attempts import Attempts
from domain.errors import EngineFailed
from domain.generation import Delta, EngineTarget, GenerationRequest, PlanRequest, PromptMessage
from domain.ids import TenantId, new_uuid
from domain.metering import CallKind
from domain.turn import TurnPorts
from tests.fixtures.conditions import eventually
from tests.fixtures.provider import (
    ProviderDouble,
    Reply,
    anthropic_events,
    openai_chunk,
    openai_events,
    opened_provider,
)
from tests.fixtures.provider_engines import ANSWERS, GARBAGE, HALVES, START, piece
from tests.fixtures.twins import TwinGenerator, TwinMeter, TwinPlanner, turn_ports

KINDS = ("openai", "anthropic")
ASK = PlanRequest(TenantId(new_uuid()), "m", 10, 20)
REQUEST = GenerationRequest("t", "m", (PromptMessage("user", "Hi"),), 20)
ENDLESS = {"openai": openai_events(openai_chunk("x")), "anthropic": anthropic_events(piece("x"))}


class Stage:
    """Two providers of a kind, each with its engine, and the ports of a turn over them."""

    def __init__(self, kind: str, doubles: list[ProviderDouble], engines: list[Engine]) -> None:
        self.kind = kind
        self.first, self.second = doubles
        self._engines = dict(zip(("first", "second"), engines, strict=True))
        self.meter = TwinMeter()
        targets = tuple(EngineTarget(name, "m", f"{name}:1", first_token_seconds=60.0) for name in self._engines)
        self.planner = TwinPlanner(targets)
        self.second.replies = [Reply(ANSWERS[kind])]

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        async for delta in self._engines[target.engine].generate(request):
            yield delta

    async def answer(self) -> str:
        ports: TurnPorts = replace(
            turn_ports(TwinGenerator({}), planner=self.planner, meter=self.meter), generator=self
        )
        attempts = Attempts(ports, "m", 10)
        return "".join([item.text async for item in attempts.stream(ASK, REQUEST) if isinstance(item, Delta)])

    def be_impatient(self) -> None:
        """With the first provider."""
        first, second = self.planner.targets
        self.planner.targets = (replace(first, first_token_seconds=0.3), second)

    @property
    def calls(self) -> list[tuple[CallKind, str]]:
        return [(call.kind, call.engine) for call in self.meter.tally.calls]


@pytest.fixture(params=KINDS)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    kind = str(request.param)
    async with AsyncExitStack() as stack:
        doubles = [await stack.enter_async_context(opened_provider()) for _ in range(2)]
        engines = []
        for double in doubles:
            base = double.url + ("/v1" if kind == "openai" else "")
            table = ModelTable(
                engines={"cloud": EngineSpec(kind=kind, options={"base_url": base})},
                models={"m": ModelSpec(engines=("cloud",), context_tokens=1000, price_micro_per_token=FREE)},
            )
            settings = Settings(
                _env_file=None, openai_api_key=SecretStr("k"), anthropic_api_key=SecretStr("k"), profile="test"
            )
            engine = build_engine(settings, table, "cloud")
            await engine.open()
            stack.push_async_callback(engine.close)
            engines.append(engine)
        yield Stage(kind, doubles, engines)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"{}", 401),
        Reply(b"{}", 429, {"retry-after": "30"}),
        Reply(b"{}", 429),
        Reply(b"oops", 500),
        Reply(b"<html></html>", headers={"content-type": "text/html"}),
        Reply(b""),
        Reply(b"", ending="cut"),
        Reply(b"", ending="hang"),
    ],
    ids=["401", "429 with a hint", "429 without", "500", "no stream", "nothing", "cut at once", "silence"],
)
async def test_what_fails_before_the_first_token_is_not_seen(stage: Stage, reply: Reply) -> None:
    stage.first.replies = [reply]
    if reply.ending == "hang":
        stage.be_impatient()
    assert await stage.answer() == "Hello ✓"
    assert stage.calls == [(CallKind.RETRY, "first"), (CallKind.ANSWER, "second")]
    assert (len(stage.first.seen), len(stage.second.seen)) == (1, 1)
    limited = reply.status == 429
    assert stage.planner.reports == [*([] if limited else [("first", False)]), ("second", True)]


@pytest.mark.parametrize("kind_of_end", ["half", "cut", "garbage"])
async def test_what_fails_after_it_is_explicit(stage: Stage, kind_of_end: str) -> None:
    body = GARBAGE[stage.kind] if kind_of_end == "garbage" else HALVES[stage.kind]
    stage.first.replies = [Reply(body, ending="cut" if kind_of_end == "cut" else "whole")]
    with pytest.raises(EngineFailed):
        await stage.answer()
    assert stage.calls == [(CallKind.ANSWER, "first")]
    assert stage.meter.used.completion_tokens == 1
    assert not stage.second.seen


async def test_a_silent_stream_is_hung_up(stage: Stage) -> None:
    start = anthropic_events(START) if stage.kind == "anthropic" else openai_events(openai_chunk())
    stage.first.replies = [Reply(start, ending="hang")]
    stage.be_impatient()
    assert await stage.answer() == "Hello ✓"
    await eventually(lambda: stage.first.hung_up == 1)
    assert stage.meter.tally.calls[0].usage.prompt_tokens == 10, "it has read the prompt"


async def test_tokens_for_ever_end_at_the_limit(stage: Stage) -> None:
    stage.first.replies = [Reply(ENDLESS[stage.kind], ending="endless")]
    assert await stage.answer() == "x" * 20
    assert stage.meter.used.completion_tokens == 21, "the one beyond is not shown, but it was used"
