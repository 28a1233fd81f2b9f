"""The scripted engine does what its script says, the same every time."""

import asyncio
import json
from typing import Any

import pytest

from configs.tables import EngineSpec
from deployments.llm.engines.scripted import ScriptedEngine
from domain.answer_form import form_of
from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited
from domain.generation import Delta, FinishReason, GenerationRequest, PromptMessage, Usage


async def engine(**options: Any) -> ScriptedEngine:
    made = ScriptedEngine(EngineSpec(kind="scripted", options=options))
    await made.open()
    return made


async def ask(made: ScriptedEngine, text: str = "a b c", max_tokens: int = 100) -> list[Delta]:
    request = GenerationRequest("t", "m", (PromptMessage("user", text),), max_tokens)
    return [delta async for delta in made.generate(request)]


async def test_without_a_reply_it_echoes() -> None:
    deltas = await ask(await engine())
    assert deltas == [Delta("a b c", 3), Delta("", 0, FinishReason.STOP, Usage(3, 3))]


async def test_a_reply_is_repeated_up_to_its_tokens_in_batches() -> None:
    deltas = await ask(await engine(reply="x y", tokens=5, batch=2))
    assert [delta.text for delta in deltas] == ["x y ", "x y ", "x", ""]
    assert await ask(await engine(reply="x y", tokens=5, batch=2)) == deltas


async def test_the_limit_ends_it() -> None:
    last = (await ask(await engine(tokens=50), max_tokens=7))[-1]
    assert (last.finish, last.usage) == (FinishReason.LENGTH, Usage(3, 7))


async def test_paced_streams_move_in_the_same_steps() -> None:
    made = await engine(tokens=4, tokens_per_second=500)
    order: list[int] = []

    async def listen(name: int) -> None:
        async for delta in made.generate(GenerationRequest("t", "m", (PromptMessage("user", "x"),), 4)):
            if delta.tokens:
                order.append(name)

    await asyncio.gather(*(listen(name) for name in range(3)))
    assert [sorted(order[step : step + 3]) for step in range(0, 12, 3)] == [[0, 1, 2]] * 4
    await made.close()


@pytest.mark.parametrize(
    ("fail", "expected"), [("before", EngineFailed), ("busy", RateLimited), ("refuse", InvalidInput)]
)
async def test_failures_by_name(fail: str, expected: type[AppError]) -> None:
    with pytest.raises(expected):
        await ask(await engine(fail=fail))


async def test_only_every_nth_generation_fails() -> None:
    made = await engine(fail="before", fail_every=3)
    assert len(await ask(made)) == len(await ask(made)) == 2
    with pytest.raises(EngineFailed):
        await ask(made)
    assert len(await ask(made)) == 2


async def test_a_part_of_the_generations_fails_at_random_and_the_same_ones_for_a_seed() -> None:
    async def failures(seed: int) -> list[int]:
        made, failed = await engine(fail="before", fail_rate=0.3, seed=seed), []
        for number in range(200):
            try:
                await ask(made)
            except EngineFailed:
                failed.append(number)
        return failed

    assert await failures(1) == await failures(1) != await failures(2)
    assert 40 <= len(await failures(1)) <= 80


async def test_a_hanging_generation_can_be_cancelled_and_leaves_nothing() -> None:
    made = await engine(fail="hang")
    task = asyncio.create_task(ask(made))
    await asyncio.sleep(0)
    assert made.running == 1
    task.cancel()
    await asyncio.wait([task])
    assert made.running == 0


async def test_a_dead_one_is_unhealthy() -> None:
    assert not await (await engine(fail="dead")).healthy()
    assert await (await engine()).healthy()


async def test_it_answers_in_json_where_that_is_asked_for() -> None:
    made = await engine(reply='It is "blue".', tokens=2)
    request = GenerationRequest("t", "m", (PromptMessage("user", "x"),), 100, form=form_of())
    text = "".join([delta.text async for delta in made.generate(request)])
    assert json.loads(text) == {"answer": 'It is "blue".'}
