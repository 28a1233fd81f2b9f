"""Generations of knowledge over real PostgreSQL and LanceDB: built, kept in step, switched to and gone back from."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.generation_builder import BATCH_DOCUMENTS, BROKEN, MAX_ATTEMPTS
from domain.chunking_config import ChunkingConfig
from domain.documents import Document, DocumentStatus
from domain.errors import Conflict
from domain.generation import Usage
from domain.generations import QuestionOrigin
from domain.knowledge import GenerationState, Knowledge
from domain.metering import CallKind, ModelCall
from pipelines.work import WorkItem
from storage.postgres.database import fetch_all, system_tx, tenant_tx
from tests.fixtures.generations import OTHER_MODEL, Bot, Rebuilding, ids
from tests.fixtures.purse import TwinPurse

MODEL = "all-MiniLM-L6-v2"
COARSE = ChunkingConfig(max_tokens=100)


async def test_a_generation_is_built_beside_the_live_one(rebuilding: Rebuilding, built_bot: Bot) -> None:
    asked = await rebuilding.request(built_bot, OTHER_MODEL, COARSE)
    assert (asked.generation, asked.state, asked.progress.documents) == (1, GenerationState.BUILDING, 3)
    assert (asked.progress.done, asked.progress.seconds_left) == (0, None)
    await rebuilding.finish()
    built = await rebuilding.generation(built_bot, 1)
    assert (built.state, built.model, built.chunking) == (GenerationState.READY, OTHER_MODEL, COARSE)
    assert (built.progress.done, built.progress.failed, built.progress.chunks) == (3, 0, 6)
    assert built.progress.seconds_left == 0
    # Nothing has changed for who asks.
    assert (await rebuilding.chatbot(built_bot)).knowledge == Knowledge(0, MODEL)
    assert len(ids(await rebuilding.search(built_bot, "bears.txt tells"))) == 3
    both = [await rebuilding.vectors.count(*built_bot, generation=number) for number in (0, 1)]
    assert both == [6, 6]


async def test_both_are_compared_on_sentences_when_nobody_asked(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    comparison = (await rebuilding.generation(built_bot, 1)).comparison
    assert comparison is not None
    assert (comparison.origin, comparison.questions) == (QuestionOrigin.PASSAGES, 6)
    assert comparison.live.recall == comparison.candidate.recall == 1.0
    assert comparison.agreement > 0.8


async def test_a_switch_is_for_questions_from_then_on(rebuilding: Rebuilding, built_bot: Bot) -> None:
    before = (await rebuilding.chatbot(built_bot)).knowledge
    await rebuilding.request(built_bot, OTHER_MODEL, COARSE)
    await rebuilding.finish()
    await rebuilding.switch(built_bot, 1)
    bot = await rebuilding.chatbot(built_bot)
    assert (bot.knowledge, bot.config.chunking, bot.version) == (Knowledge(1, OTHER_MODEL), COARSE, 2)
    assert any("part of 100" in passage.text for passage in await rebuilding.search(built_bot, "first part"))
    # A turn that began before goes on with what it had read.
    assert any("part of 200" in passage.text for passage in await rebuilding.found(built_bot, "first part", before))
    states = [(await rebuilding.generation(built_bot, number)).state for number in (0, 1)]
    assert states == [GenerationState.RETIRED, GenerationState.LIVE]


async def test_the_way_back(rebuilding: Rebuilding, built_bot: Bot) -> None:
    first = await rebuilding.ready(built_bot, "doors.txt")
    await rebuilding.request(built_bot, OTHER_MODEL, COARSE)
    await rebuilding.finish()
    await rebuilding.switch(built_bot, 1)
    now = await rebuilding.knowledge.document(first)
    assert now.chunked_with is not None
    assert OTHER_MODEL in now.chunked_with
    await rebuilding.switch(built_bot, 0)
    bot = await rebuilding.chatbot(built_bot)
    assert (bot.knowledge, bot.config.chunking.max_tokens) == (Knowledge(0, MODEL), 200)
    assert MODEL in str((await rebuilding.knowledge.document(first)).chunked_with)
    assert len(ids(await rebuilding.search(built_bot, "part"))) == 4
    # And forward again.
    await rebuilding.switch(built_bot, 1)
    assert (await rebuilding.chatbot(built_bot)).knowledge.generation == 1


async def test_who_asks_during_switches_is_always_answered(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    seen: set[int] = set()
    answers = 0

    async def ask() -> None:
        nonlocal answers
        while not switching.done():
            seen.add((await rebuilding.chatbot(built_bot)).knowledge.generation)
            assert len(ids(await rebuilding.search(built_bot, "second part"))) == 3
            answers += 1

    async def switch() -> None:
        for number in (1, 0, 1, 0, 1):
            target = answers + 3
            while answers < target:
                await asyncio.sleep(0.005)
            await rebuilding.switch(built_bot, number)

    switching = asyncio.create_task(switch())
    await asyncio.gather(switching, ask(), ask())
    assert seen == {0, 1}


async def test_what_comes_while_it_is_built_is_in_both(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    late: list[Document] = []

    async def upload(item: WorkItem) -> None:
        if not late:
            late.append(await rebuilding.ready(built_bot, "late.txt"))

    rebuilding.pipeline.after_commit = upload
    await rebuilding.finish()
    after = await rebuilding.ready(built_bot, "after.txt")
    with pytest.raises(Conflict, match="just being taken in"):
        await rebuilding.switch(built_bot, 1)
    await rebuilding.finish()
    await rebuilding.switch(built_bot, 1)
    # The one that answered before is kept in step as well.
    later = await rebuilding.ready(built_bot, "later.txt", 1, OTHER_MODEL)
    await rebuilding.finish()
    for document in (*late, after, later):
        for number in (0, 1):
            assert await rebuilding.vectors.count(*built_bot, document.id, generation=number) == 2, document.name


async def test_what_is_deleted_meanwhile_is_in_none(rebuilding: Rebuilding, built_bot: Bot) -> None:
    gone = await rebuilding.ready(built_bot, "gone.txt")
    await rebuilding.request(built_bot)

    async def delete(item: WorkItem) -> None:
        if item.document_id == gone.id:
            # The row is gone, and what was committed a moment ago is not.
            await rebuilding.knowledge.delete(gone)
            assert await rebuilding.vectors.count(*built_bot, gone.id, generation=1) == 2

    rebuilding.pipeline.after_commit = delete
    await rebuilding.finish()
    assert await rebuilding.vectors.remains(*built_bot, gone.id) == 0
    assert (await rebuilding.generation(built_bot, 1)).progress.documents == 3


async def test_a_document_that_ends_behind_a_switch_is_taken_in_once_more(
    rebuilding: Rebuilding, built_bot: Bot
) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    document = await rebuilding.knowledge.upload(*built_bot, b"slow", "slow.txt")
    async with system_tx(rebuilding.knowledge.db) as tx:
        await tx.execute("update documents set status = 'processing' where id = %s", [document.id])
    await rebuilding.switch(built_bot, 1)
    await rebuilding.live(document, generation=0)
    # It would be ready and not be found.
    assert (await rebuilding.knowledge.document(document)).status is DocumentStatus.QUEUED
    assert {event["payload"]["status"] for event in await rebuilding.knowledge.events(built_bot[0])} == {"ready"}


async def test_a_crash_costs_a_round(rebuilding: Rebuilding, built_bot: Bot) -> None:
    for number in range(BATCH_DOCUMENTS):
        await rebuilding.ready(built_bot, f"{number}.txt")
    await rebuilding.request(built_bot, OTHER_MODEL)
    rebuilding.pipeline.breaking = {"7.txt"}
    assert await rebuilding.builder.work() is None
    rebuilding.pipeline.breaking = set()
    dead = rebuilding.builder
    rebuilding.restarted()._pools.open = dead._pools.open
    await rebuilding.due_now()
    await rebuilding.finish()
    built = await rebuilding.generation(built_bot, 1)
    assert (built.state, built.progress.done) == (GenerationState.READY, BATCH_DOCUMENTS + 3)
    assert await rebuilding.vectors.count(*built_bot, generation=1) == 2 * (BATCH_DOCUMENTS + 3)
    # The round after the broken one took a single document.
    assert [len(run) for run in rebuilding.pipeline.runs][:2] == [BATCH_DOCUMENTS, 1]


async def test_a_document_that_breaks_its_rounds_is_left_out(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    rebuilding.pipeline.breaking = {"bears.txt"}
    for _ in range(2 * MAX_ATTEMPTS):
        await rebuilding.finish()
        await rebuilding.due_now()
    built = await rebuilding.generation(built_bot, 1)
    assert (built.state, built.progress.done, built.progress.failed) == (GenerationState.READY, 2, 1)
    with pytest.raises(Conflict, match="1 documents could not"):
        await rebuilding.switch(built_bot, 1)
    await rebuilding.switch(built_bot, 1, accept_failures=True)
    async with system_tx(rebuilding.knowledge.db) as tx:
        rows = await tx.execute("select name, status from documents where tenant_id = %s order by name", [built_bot[0]])
        status = {row["name"]: row["status"] for row in await rows.fetchall()}
    assert status == {"apples.txt": "ready", "bears.txt": "queued", "cars.txt": "ready"}
    # Going back shows it again, whatever became of it.
    await rebuilding.switch(built_bot, 0)
    assert len(ids(await rebuilding.search(built_bot, "part"))) == 3


async def test_when_every_round_breaks_the_build_has_failed(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    rebuilding.pipeline.breaking = {"apples.txt", "bears.txt", "cars.txt"}
    for _ in range(5 * MAX_ATTEMPTS):
        await rebuilding.finish()
        await rebuilding.due_now()
    built = await rebuilding.generation(built_bot, 1)
    assert (built.state, built.reason) == (GenerationState.FAILED, BROKEN)
    assert len(ids(await rebuilding.search(built_bot, "part"))) == 3
    await rebuilding.upkeep.work()
    assert await rebuilding.vectors.generations(*built_bot) == [0]
    # Another one may be asked for.
    assert (await rebuilding.request(built_bot, OTHER_MODEL)).generation == 2


async def test_what_cannot_be_written_is_tried_again(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    rebuilding.pipeline.interrupted = {"cars.txt"}
    await rebuilding.finish()
    assert (await rebuilding.generation(built_bot, 1)).progress.done == 2
    rebuilding.pipeline.interrupted = set()
    await rebuilding.due_now()
    await rebuilding.finish()
    assert (await rebuilding.generation(built_bot, 1)).state is GenerationState.READY


async def test_one_at_a_time_and_only_what_is_offered(rebuilding: Rebuilding, built_bot: Bot) -> None:
    await rebuilding.request(built_bot, OTHER_MODEL)
    with pytest.raises(Conflict, match="already"):
        await rebuilding.request(built_bot)
    with pytest.raises(Conflict, match="building"):
        await rebuilding.switch(built_bot, 1)
    rebuilding.builder._pools._settings = rebuilding.settings.model_copy(update={"embedding_models": ()})
    await rebuilding.finish()
    failed = await rebuilding.generation(built_bot, 1)
    assert failed.state is GenerationState.FAILED
    assert OTHER_MODEL in str(failed.reason)


async def test_tenants_take_turns(rebuilding: Rebuilding, built_bot: Bot) -> None:
    for number in range(2 * BATCH_DOCUMENTS):
        await rebuilding.ready(built_bot, f"{number}.txt")
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.builder.work()
    stranger = await rebuilding.knowledge.new_bot()
    async with system_tx(rebuilding.knowledge.db) as tx:
        query = "insert into chatbot_configs (tenant_id, chatbot_id, version, config) values (%s, %s, 1, '{}')"
        await tx.execute(query, [*stranger])
    await rebuilding.ready(stranger, "theirs.txt")
    await rebuilding.request(stranger)
    await rebuilding.builder.work()
    assert rebuilding.pipeline.runs[-1] == ["theirs.txt"]


async def test_what_somebody_else_embeds_is_in_the_ledger(rebuilding: Rebuilding, built_bot: Bot) -> None:
    def paid(texts: Sequence[str], model: str) -> ModelCall:
        return ModelCall(CallKind.EMBEDDING, "", model or "usual", Usage(embedded_tokens=10 * len(texts)), 3)

    rebuilding.paid = paid
    rebuilding.builder._ends = rebuilding.ends()
    await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    await rebuilding.ready(built_bot, "badgers.txt")
    async with tenant_tx(rebuilding.knowledge.db, built_bot[0]) as tx:
        query = "select kind, model, embedded_tokens, cost_micro from usage_ledger order by created_at"
        rows = [tuple(row.values()) for row in await fetch_all(tx, query)]
    assert rows == [*[("ingestion", OTHER_MODEL, 20, 3)] * 3, ("ingestion", "usual", 20, 3)]
    assert [tokens for _, tokens in rebuilding.purse.spent] == [20] * 4


async def test_nothing_is_embedded_again_without_a_budget(rebuilding: Rebuilding, built_bot: Bot) -> None:
    rebuilding.paid = lambda texts, model: ModelCall(CallKind.EMBEDDING, "", model, Usage(embedded_tokens=len(texts)))
    rebuilding.purse = TwinPurse(2)
    rebuilding.builder._ends = rebuilding.ends()
    made = await rebuilding.request(built_bot, OTHER_MODEL)
    await rebuilding.finish()
    found = await rebuilding.generation(built_bot, made.generation)
    assert (found.state, found.reason) == (GenerationState.FAILED, "The Free plan allows 2 tokens per month.")
    assert len(rebuilding.pipeline.runs) == 1, "the first one was within it"
