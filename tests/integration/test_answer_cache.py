"""Answers that are kept in a real Redis, sealed: found in their scope only, by words and by meaning, until they go."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from actors.answer_cache import RedisAnswers
from actors.remembered_queries import CountedQueries, RememberedQueries
from actors.remote_embedding import RemoteEmbedding
from domain.caching.configuration import CacheConfig
from domain.caching.scope import CacheHit, CacheScope, KeptAnswer, Versions
from domain.conversation import Citation
from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, SessionId, TenantId, new_uuid
from domain.metering import CallKind, ModelCall
from storage.postgres.tenant_keys import keys_of
from storage.redis.client import connect_redis, connect_redis_for_bytes
from storage.redis.kept_answers import KeptAnswers
from tests.fixtures.conditions import eventually
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.twins import TwinMeter

Bot = tuple[TenantId, ChatbotId]
LAMP = "What does the blue lamp cost?"
ANSWER = "It costs 40 euros."
CITED = Citation(1, DocumentId(UUID(int=7)), "manual.pdf", 2, "Prices", 3, 9, "40 euros")
SEMANTIC = CacheConfig(mode="semantic")


class TwinEmbedder:
    """All questions are alike, but for those that are about bread."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return [[0.0, 1.0] if "bread" in text else [1.0, 0.0] for text in texts]


class Shelf:
    """Processes that share a Redis and a database, and what they count."""

    def __init__(self, knowledge: KnowledgeBase, redis: Redis) -> None:
        self.knowledge = knowledge
        self.redis = redis
        self.embedder = TwinEmbedder()
        self.outcomes: list[str] = []
        self._open: list[RedisAnswers] = []

    def process(self, redis: Redis | None = None) -> RedisAnswers:
        kept = KeptAnswers(redis or self.redis)
        answers = RedisAnswers(kept, self.knowledge.db, lambda _: self.embedder, "secret", self.outcomes.append)
        self._open.append(answers)
        return answers

    async def stock(self, answers: RedisAnswers, scope: CacheScope, *questions: str, **more: Any) -> None:
        """Keep an answer to each question, one after the other."""
        for question in questions:
            answers.keep(scope, kept(question, **more))
            await answers.settled()

    async def entries(self, scope: CacheScope) -> list[dict[bytes, bytes]]:
        """What Redis has."""
        found: Any = await self.redis.xrange(self.key(scope))
        return [fields for _, fields in found]

    @staticmethod
    def key(scope: CacheScope) -> str:
        return f"kept:{scope.tenant_id}:{scope.chatbot_id}"

    async def close(self) -> None:
        for answers in self._open:
            await answers.close()


def kept(question: str = LAMP, answer: str = ANSWER, session: SessionId | None = None) -> KeptAnswer:
    return KeptAnswer(question, answer, (CITED,), "model-a", session or SessionId(new_uuid()))


def scope_of(bot: Bot, settings: CacheConfig | None = None) -> CacheScope:
    return CacheScope(*bot, Versions(1, 1), "model-a", "", settings or CacheConfig(), may_keep=True)


@pytest.fixture
async def shelf(knowledge: KnowledgeBase, redis_url: str) -> AsyncIterator[Shelf]:
    redis = connect_redis_for_bytes(redis_url, 5.0)
    shelf = Shelf(knowledge, redis)
    yield shelf
    await shelf.close()
    await redis.aclose()


async def test_a_kept_answer_is_found_by_its_words_also_by_another_process(shelf: Shelf, bot: Bot) -> None:
    scope, answers = scope_of(bot), shelf.process()
    assert await answers.find(scope, LAMP) is None
    await shelf.stock(answers, scope, LAMP)
    for process in (answers, shelf.process()):
        hit = await process.find(scope, "what does the BLUE lamp cost")
        assert hit == CacheHit(replace(kept(), session_id=hit.kept.session_id), "exact") if hit else False
        assert await process.find(scope, "What does the red lamp cost?") is None
    assert shelf.outcomes == ["miss", "exact", "miss", "exact", "miss"]
    assert shelf.embedder.texts == []


async def test_another_scope_finds_nothing(shelf: Shelf, bot: Bot) -> None:
    tenant, _ = bot
    scope, answers = scope_of(bot, SEMANTIC), shelf.process()
    await shelf.stock(answers, scope, LAMP)
    same_tenant, other_tenant = await shelf.knowledge.new_bot(tenant), await shelf.knowledge.new_bot()
    others = [
        replace(scope, tenant_id=other_tenant[0], chatbot_id=other_tenant[1]),
        replace(scope, tenant_id=other_tenant[0]),
        replace(scope, chatbot_id=same_tenant[1]),
        replace(scope, versions=Versions(2, 1)),
        replace(scope, versions=Versions(1, 2)),
        replace(scope, model="model-b"),
        replace(scope, embedding_model="other"),
    ]
    for other in others:
        assert await answers.find(other, LAMP) is None
    assert await answers.find(scope, LAMP) is not None


async def test_an_entry_that_was_put_elsewhere_opens_nowhere(shelf: Shelf, bot: Bot) -> None:
    scope, answers = scope_of(bot), shelf.process()
    await shelf.stock(answers, scope, LAMP)
    thief = replace(scope, tenant_id=(other := await shelf.knowledge.new_bot())[0], chatbot_id=other[1])
    await shelf.stock(answers, thief, LAMP, answer="Ours.")
    [theirs], [own] = [await shelf.entries(one) for one in (scope, thief)]
    await shelf.redis.delete(shelf.key(thief))
    await shelf.redis.xadd(shelf.key(thief), dict[Any, Any]({**own, b"a": theirs[b"a"]}))
    assert await shelf.process().find(thief, LAMP) is None
    assert LAMP.encode() not in repr(theirs).encode()
    assert ANSWER.encode() not in repr(theirs).encode()


async def test_by_meaning_only_what_asks_the_same_and_is_near(shelf: Shelf, bot: Bot) -> None:
    scope, answers = scope_of(bot, SEMANTIC), shelf.process()
    await shelf.stock(answers, scope, "What does white bread cost?", LAMP)
    for process in (answers, shelf.process()):
        hit = await process.find(scope, "How much is the blue lamp?")
        assert hit is not None
        assert (hit.match, hit.kept.question, hit.reason) == ("semantic", LAMP, "cache: semantic 1.00")
        for other in (
            "What does the red lamp cost?",
            "What does the blue lamp not cost?",
            "Does the blue lamp cost 2?",
        ):
            assert await process.find(scope, other) is None
    # The words are the same, the vectors are not: then it is not found.
    shelf.embedder.embed = lambda texts: asyncio.sleep(0, [[0.5, 0.5]])  # type: ignore[method-assign]
    assert await answers.find(scope, "How much is the blue lamp?") is None


async def test_the_newest_answer_to_a_question_counts_and_the_oldest_go(shelf: Shelf, bot: Bot) -> None:
    scope, answers = scope_of(bot, CacheConfig(max_answers=2)), shelf.process()
    await shelf.stock(answers, scope, "one?", "two?")
    await shelf.stock(answers, scope, "three?", answer="Three.")
    await eventually(lambda: _found(answers, scope, "three?", "Three."))
    for process in (answers, shelf.process()):
        assert await process.find(scope, "one?") is None
        assert await process.find(scope, "two?") is not None
    assert await shelf.redis.xlen(shelf.key(scope)) == 2
    await shelf.stock(answers, scope, "two?", answer="Two.")
    await eventually(lambda: _found(answers, scope, "two?", "Two."))


async def _found(answers: RedisAnswers, scope: CacheScope, question: str, answer: str) -> bool:
    hit = await answers.find(scope, question)
    return hit is not None and hit.kept.answer == answer


async def test_an_old_answer_is_given_no_more(shelf: Shelf, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    scope, answers = scope_of(bot, CacheConfig(ttl_seconds=60)), shelf.process()
    await shelf.stock(answers, scope, LAMP)
    assert 0 < await shelf.redis.ttl(shelf.key(scope)) <= 60
    assert await answers.find(scope, LAMP) is not None
    for drift in (61, -120):
        now = time.time() + drift
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda now=now: now)
            assert await shelf.process().find(scope, LAMP) is None


async def test_what_was_removed_is_given_no_more_by_any_process(shelf: Shelf, bot: Bot, redis_url: str) -> None:
    scope, answers = scope_of(bot, SEMANTIC), shelf.process()
    await shelf.stock(answers, scope, LAMP)
    assert await answers.find(scope, LAMP) is not None
    texts = connect_redis(redis_url)
    assert await KeptAnswers(texts).empty(*bot) == 1
    assert await KeptAnswers(texts).empty(*bot) == 0
    assert await answers.find(scope, LAMP) is None
    assert await answers.find(scope, "How much is the blue lamp?") is None
    await shelf.stock(answers, scope, LAMP)
    await eventually(lambda: _found(answers, scope, LAMP, ANSWER))
    assert await KeptAnswers(texts).empty_tenant(bot[0]) == 1
    assert await KeptAnswers(texts).count_of_tenant(bot[0]) == 0
    await texts.aclose()


async def test_an_answer_that_is_retracted_is_given_no_more(shelf: Shelf, bot: Bot, redis_url: str) -> None:
    scope, answers = scope_of(bot, SEMANTIC), shelf.process()
    await shelf.stock(answers, scope, LAMP, "Does it cost 40?")
    await shelf.stock(answers, scope, "three?", answer="Three.")
    texts, cipher = connect_redis(redis_url), await keys_of(shelf.knowledge.db, bot[0])
    stranger = await keys_of(shelf.knowledge.db, (await shelf.knowledge.new_bot())[0])
    assert await KeptAnswers(texts).retract(stranger, *bot, ANSWER) == 0
    assert await KeptAnswers(texts).retract(cipher, *bot, ANSWER) == 2
    assert await answers.find(scope, LAMP) is None
    assert await answers.find(scope, "How much is the blue lamp?") is None
    assert await answers.find(scope, "three?") is not None
    await texts.aclose()


async def test_looking_by_meaning_is_metered_where_it_costs_something(shelf: Shelf, bot: Bot) -> None:
    scope, meter = scope_of(bot, SEMANTIC), TwinMeter()
    remembered = RememberedQueries(shelf.embedder)
    remote = RemoteEmbedding("remote-model", lambda text: len(text.split()))
    answers = RedisAnswers(KeptAnswers(shelf.redis), shelf.knowledge.db, lambda _: remembered, "s", remote=remote)
    assert await answers.find(scope, LAMP, meter) is None
    assert meter.tally.calls == [], "nothing is kept, so that nothing is asked"
    await shelf.stock(answers, scope, LAMP)
    for _ in range(2):
        assert await answers.find(scope, "How much is the blue lamp?", meter) is not None
    assert meter.tally.calls == [ModelCall(CallKind.EMBEDDING, "", "remote-model", Usage(embedded_tokens=6))]
    # Whoever searches the documents for it has the vector, and pays nothing.
    search = CountedQueries(remembered, remote, "")
    await search.embed(["How much is the blue lamp?", "Another one"])
    assert [call.usage.embedded_tokens for call in search.calls] == [2]
    await answers.close()


async def test_answers_go_with_the_conversation_that_they_are_from(shelf: Shelf, bot: Bot, redis_url: str) -> None:
    scope, answers, session = scope_of(bot), shelf.process(), SessionId(new_uuid())
    await shelf.stock(answers, scope, "one?", "two?", session=session)
    await shelf.stock(answers, scope, "three?")
    texts = connect_redis(redis_url)
    stored = KeptAnswers(texts)
    assert await stored.of_sessions(*bot, [str(session), str(new_uuid())], remove=False) == 2
    assert await stored.of_sessions(*bot, [str(session)], remove=True) == 2
    assert await stored.of_sessions(*bot, [str(session)], remove=False) == 0
    assert await stored.of_sessions(*bot, [], remove=True) == 0
    assert await answers.find(scope, "one?") is None
    assert await answers.find(scope, "three?") is not None
    await texts.aclose()


async def test_without_redis_nothing_is_found_and_nothing_fails(shelf: Shelf, bot: Bot) -> None:
    gone = connect_redis_for_bytes("redis://127.0.0.1:1", 0.2)
    answers = shelf.process(gone)
    assert await answers.find(scope_of(bot), LAMP) is None
    answers.keep(scope_of(bot), kept())
    assert await answers.find(scope_of(bot), LAMP) is None
    assert shelf.outcomes == []
    await gone.aclose()


async def test_an_answer_that_is_too_large_is_not_kept(shelf: Shelf, bot: Bot) -> None:
    scope, answers = scope_of(bot), shelf.process()
    answers.keep(scope, kept("large?", answer="x" * 40_000))
    await shelf.stock(answers, scope, LAMP)
    await eventually(lambda: _found(answers, scope, LAMP, ANSWER))
    assert await answers.find(scope, "large?") is None
