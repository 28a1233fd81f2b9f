"""Answers that are kept for other visitors go with the conversation, the document or the bot that they are from."""

from typing import Any
from uuid import UUID

from domain.caching.configuration import CacheConfig
from domain.caching.scope import CacheScope, KeptAnswer, Versions
from domain.ids import ChatbotId, SessionId
from storage.postgres.tenant_keys import keys_of
from storage.redis.kept_answers import KeptAnswers
from tests.fixtures.erasure import ErasureRig, canary, erase_visitor, visitor_chat
from tests.fixtures.gateway import Chat
from tests.fixtures.stored_turns import tenant_id_of


async def keep(erasing: ErasureRig, chat: Chat, of: Chat) -> None:
    """An answer of the bot, from the conversation `of`."""
    tenant, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    scope = CacheScope(tenant, bot, Versions(1, 0), "m", "", CacheConfig(), may_keep=True)
    kept = KeptAnswer("What is it?", "It is a lamp.", (), "m", SessionId(UUID(of.session)))
    cipher = await keys_of(erasing.rig.services.db, tenant)
    assert await KeptAnswers(erasing.raw_redis).add(cipher, scope, UUID(of.session).bytes, kept) is not None


async def left(erasing: ErasureRig, chat: Chat) -> int:
    return await KeptAnswers(erasing.raw_redis).count(tenant_id_of(chat), ChatbotId(UUID(chat.bot)))


async def test_a_visitors_go_and_those_of_others_stay(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await keep(erasing, chat, theirs)
    await keep(erasing, chat, chat)
    answer = await erase_visitor(theirs, visitor)
    erasure = await erasing.finish(tenant_id_of(chat), answer.json()["id"])
    assert erasure.counts["redis.kept_answers"] == 1
    found: Any = await erasing.raw_redis.xrange(f"kept:{tenant_id_of(chat)}:{chat.bot}")
    assert [fields[b"s"].decode() for _, fields in found] == [chat.session]


async def test_a_document_takes_all_answers_of_its_bot_along_and_what_was_answered_meanwhile_is_of_another_version(
    erasing: ErasureRig, chat: Chat
) -> None:
    document = await erasing.document(chat, canary())
    await keep(erasing, chat, chat)
    answer = await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    rows = "select knowledge_version from chatbots where id = %s"
    [deleted] = await (await erasing.owner.execute(rows, [chat.bot])).fetchall()
    erasure = await erasing.finish(tenant_id_of(chat), answer.headers["Location"].rpartition("/")[2])
    assert erasure.counts["redis.kept_answers"] == 1
    assert await left(erasing, chat) == 0
    [removed] = await (await erasing.owner.execute(rows, [chat.bot])).fetchall()
    assert 0 < deleted["knowledge_version"] < removed["knowledge_version"]


async def test_a_bots_go_with_it(erasing: ErasureRig, chat: Chat) -> None:
    await keep(erasing, chat, chat)
    answer = await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")
    erasure = await erasing.finish(tenant_id_of(chat), answer.headers["Location"].rpartition("/")[2])
    assert erasure.counts["redis.kept_answers"] == 1
    assert await left(erasing, chat) == 0
