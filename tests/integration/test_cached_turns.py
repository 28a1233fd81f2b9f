"""Turns of a live tenant whose answers are kept: given again, billed as that, and invalid with every change."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from actors.answer_cache import RedisAnswers
from actors.answer_keeping import keeping_with
from actors.live_turn import Event
from actors.running_turn import TurnTools
from actors.tenant_actor import TenantActor
from actors.turn_record import TurnRecord
from domain.conversation import Question
from domain.erasure import ErasureKind
from domain.ids import ChatbotId, SessionId, TurnId
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import fetch_one, system_tx, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.erased_rows import erase
from storage.postgres.sessions import Sessions
from storage.redis.kept_answers import KeptAnswers
from tests.fixtures.conditions import eventually
from tests.fixtures.desk import LAMP, TABLE, Desk, collect, text_of
from tests.fixtures.gateway import Chat
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.twins import turn_ports

QUESTION = "What does the lamp cost?"


class Counter:
    """A desk that keeps answers."""

    def __init__(self, desk: Desk, actor: TenantActor, bot: ChatbotId) -> None:
        self.desk = desk
        self.actor = actor
        self.bot = bot
        self._asked = 0

    async def ask(self, text: str = QUESTION, session: SessionId | None = None, **more: Any) -> list[Event]:
        """In a new session, unless one is given."""
        self._asked += 1
        question = Question(f"c{self._asked}", text, **more)
        return await collect(self.actor.submit(session or await self.session(), question))

    async def session(self) -> SessionId:
        async with tenant_tx(self.desk.knowledge.db, self.desk.tenant) as tx:
            return (await Sessions(tx).insert(self.desk.tenant, self.bot, "")).id

    async def stocked(self, text: str = QUESTION) -> None:
        """Ask until the answer is a kept one."""
        await eventually(lambda: self._is_hit(text))

    async def _is_hit(self, text: str) -> bool:
        return bool((await self.ask(text))[-1]["cached"] == "exact")


@pytest.fixture
async def counter(desk: Desk) -> AsyncIterator[Counter]:
    db = desk.knowledge.db
    answers = RedisAnswers(KeptAnswers(desk.redis), db, lambda _: pytest.fail("nothing is embedded"), "secret")
    tools = TurnTools(
        db,
        TurnRecord(db, TABLE),
        lambda _, meter, trace: replace(turn_ports(desk.generator, [LAMP], meter=meter, trace=trace), answers=answers),
        30,
        after_answer=keeping_with(answers),
    )
    actor = await desk.activate(tools=tools)
    [session] = await desk.rows("sessions")
    yield Counter(desk, actor, ChatbotId(session["chatbot_id"]))
    await answers.close()


async def test_the_same_question_is_answered_once_by_the_model(counter: Counter) -> None:
    first = await counter.ask()
    assert (first[-1]["cached"], first[-1]["usage"]) == (None, [100, 3, 0])
    await counter.stocked()
    asked, session = len(counter.desk.generator.requests), await counter.session()
    again = await counter.ask("what does the lamp cost", session)
    assert len(counter.desk.generator.requests) == asked
    assert text_of(again) == text_of(first)
    cited = [[event["citations"] for event in events if event["k"] == "citations"] for events in (first, again)]
    assert cited[0] == cited[1] != []
    done = again[-1]
    assert (done["cached"], done["usage"], done["state"]) == ("exact", [0, 0, 0], "completed")
    turn = next(row for row in await counter.desk.rows("turns") if row["session_id"] == session)
    assert turn["plan_reason"] == "cache: exact"
    ledger = {row["turn_id"]: row for row in await counter.desk.rows("usage_ledger")}
    assert ledger[turn["id"]]["prompt_tokens"] == ledger[turn["id"]]["completion_tokens"] == 0
    stored = await counter.actor._parts.tools.record.replay(counter.desk.tenant, session, TurnId(turn["id"]), 0)
    assert stored[-1]["cached"] == "exact"


async def test_whoever_wants_another_answer_gets_one(counter: Counter) -> None:
    await counter.stocked()
    session = await counter.session()
    [ack, *_, done] = await counter.ask(session=session)
    assert done["cached"] == "exact"
    again = await counter.ask("", session, regenerates=TurnId(UUID(ack["turn"])))
    assert again[-1]["cached"] is None
    edited = await counter.ask(QUESTION, session, edits=ack["message_id"])
    assert edited[-1]["cached"] is None
    for personal in ("What does my lamp cost?", "What does the lamp cost today?"):
        assert [(await counter.ask(personal))[-1]["cached"] for _ in range(2)] == [None, None]


async def test_a_change_of_the_configuration_or_of_the_knowledge_asks_the_model_again(counter: Counter) -> None:
    db, tenant = counter.desk.knowledge.db, counter.desk.tenant
    await counter.stocked()
    async with tenant_tx(db, tenant) as tx:
        bot = await Chatbots(tx).get(tenant, counter.bot)
        await Chatbots(tx).add_version(bot, bot.config.model_copy(update={"tone": "stern"}))
    assert (await counter.ask())[-1]["cached"] is None
    await counter.stocked()
    async with tenant_tx(db, tenant) as tx:
        await Chatbots(tx).knowledge_changed(tenant, counter.bot)
    assert (await counter.ask())[-1]["cached"] is None


async def test_every_change_of_a_document_that_a_search_sees_counts(knowledge: KnowledgeBase) -> None:
    tenant, bot = await knowledge.new_bot()

    async def version() -> int:
        async with tenant_tx(knowledge.db, tenant) as tx:
            row = await fetch_one(tx, "select knowledge_version from chatbots where id = %(id)s", id=bot)
        assert row is not None
        return int(row["knowledge_version"])

    document = await knowledge.upload(tenant, bot, b"Forty euros.")
    assert await version() == 0
    async with system_tx(knowledge.db) as tx:
        await Documents(tx).claim_batch(10, 10_000_000)
        assert await Documents(tx).mark_ready(tenant, document.id, 1, 1) == "notes.txt"
        assert await Documents(tx).mark_ready(tenant, document.id, 1, 1) is None
    assert await version() == 1
    async with tenant_tx(knowledge.db, tenant) as tx:
        await Documents(tx).update_details(tenant, bot, document.id, name="new.txt", metadata=None)
    assert await version() == 2
    async with tenant_tx(knowledge.db, tenant) as tx:
        await erase(tx, tenant, ErasureKind.DOCUMENT, document.id, "user:x")
    assert await version() == 3


async def test_a_bots_people_empty_its_cache(chat: Chat) -> None:
    assert (await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}/cache")).status_code == 204
    assert (await chat.tenant.call("DELETE", f"/chatbots/{UUID(int=5)}/cache")).status_code == 404
    items = (await chat.tenant.get("/audit", params={"action": "chatbot.cache_empty"})).json()["items"]
    assert [item["details"] for item in items] == [{"answers": 0}]
