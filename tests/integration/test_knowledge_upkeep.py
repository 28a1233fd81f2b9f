"""Upkeep of the tables of knowledge: tidied one bot after the other, and removed when they have ended."""

import pytest

from actors.knowledge_upkeep import AGAIN_SECONDS
from domain.errors import Conflict
from domain.ids import DocumentId, new_uuid
from domain.knowledge import GenerationState
from pipelines.work import WorkItem
from storage.postgres.database import system_tx
from storage.postgres.generation_work import GenerationWork
from tests.fixtures.generations import OTHER_MODEL, Bot, Rebuilding, ids


async def test_a_cancelled_build_goes_with_its_table(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.builder.work()
    assert await rebuilding.vectors.generations(*built_bot) == [0, 1]
    await rebuilding.cancel(built_bot, 1)
    assert await rebuilding.finish() == 0
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [0]
    with pytest.raises(Conflict, match="cancelled"):
        await rebuilding.switch(built_bot, 1)
    with pytest.raises(Conflict, match="nothing to cancel"):
        await rebuilding.cancel(built_bot, 1)


async def test_a_build_that_is_cancelled_in_a_round_leaves_no_table(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)

    async def cancel(item: WorkItem) -> None:
        if item.name == "apples.txt":
            await rebuilding.cancel(built_bot, 1)
            # What is being written to is not removed under the writer.
            await rebuilding.upkeep.work()

    rebuilding.pipeline.after_commit = cancel
    await rebuilding.finish()
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [0]
    assert len(ids(await rebuilding.search(built_bot, "part"))) == 3


async def test_the_way_back_ends_after_a_time(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    await rebuilding.switch(built_bot, 1)
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [0, 1]
    async with system_tx(rebuilding.knowledge.db) as tx:
        await tx.execute("update knowledge_generations set expires_at = now() where state = 'retired'")
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [1]
    assert (await rebuilding.generation(built_bot, 0)).state is GenerationState.REMOVED
    with pytest.raises(Conflict, match="removed"):
        await rebuilding.switch(built_bot, 0)


async def test_a_third_generation_ends_the_first(rebuilding: Rebuilding, built_bot: Bot) -> None:
    for number in (1, 2):
        await rebuilding.request(built_bot, OTHER_MODEL)
        await rebuilding.finish()
        await rebuilding.switch(built_bot, number)
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [1, 2]


async def test_upkeep_tidies_and_comes_back_later(rebuilding: Rebuilding, built_bot: Bot) -> None:
    for number in range(4):
        await rebuilding.ready(built_bot, f"{number}.txt")
    assert rebuilding.upkeep.load["bots_tidied"] == 0
    await rebuilding.upkeep.work()
    assert rebuilding.upkeep.load == {"bots_tidied": 1, "bots_untidy": 0, "generations_removed": 0}
    await rebuilding.upkeep.work()
    # Not again so soon.
    assert rebuilding.upkeep.load["bots_tidied"] == 1
    assert len(ids(await rebuilding.search(built_bot, "part"))) == 7


async def test_an_operator_sees_what_is_going_on(rebuilding: Rebuilding, built_bot: Bot) -> None:
    async def totals() -> dict[str, int]:
        async with system_tx(rebuilding.knowledge.db) as tx:
            return await GenerationWork(tx).totals(AGAIN_SECONDS)

    none = {"building": 0, "ready": 0, "retired": 0, "to_remove": 0, "bots_to_tidy": 1}
    assert await totals() == none
    await rebuilding.request(built_bot)
    assert await totals() == {**none, "building": 1}
    await rebuilding.finish()
    await rebuilding.cancel(built_bot, 1)
    assert await totals() == {**none, "to_remove": 1}
    await rebuilding.upkeep.work()
    assert await totals() == {**none, "bots_to_tidy": 0}


async def test_upkeep_keeps_away_from_what_is_written(rebuilding: Rebuilding, built_bot: Bot) -> None:
    rebuilding.builder._in_work = {DocumentId(new_uuid()): built_bot}
    await rebuilding.upkeep.work()
    assert rebuilding.upkeep.load["bots_tidied"] == 0
    rebuilding.builder._in_work = {}
    await rebuilding.upkeep.work()
    assert rebuilding.upkeep.load["bots_tidied"] == 1
