"""What comes back about answers over HTTP: receipts and feedback."""

from uuid import UUID

from domain.caching.configuration import CacheConfig
from domain.caching.scope import CacheScope, KeptAnswer, Versions
from domain.ids import ChatbotId, MessageId, SessionId, new_uuid
from storage.postgres.database import tenant_tx
from storage.postgres.messages import Messages
from storage.postgres.tenant_keys import keys_of
from storage.redis.kept_answers import KeptAnswers
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import path, store_turn, tenant_id_of


async def undelivered(rig: GatewayRig, chat: Chat) -> list[tuple[str, str]]:
    """Turns and answers, as their ids."""
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        found = await Messages(tx).undelivered(tenant_id_of(chat), SessionId(UUID(chat.session)))
    return [(str(turn), str(message)) for turn, message in found]


async def test_receipt_covers_the_earlier_answers_of_the_session(rig: GatewayRig, chat: Chat) -> None:
    other = Chat(chat.tenant, chat.bot, await chat.tenant.new_session(chat.bot))
    await store_turn(rig, other, "elsewhere")
    stored = [await store_turn(rig, chat, text) for text in ("one", "two", "three")]
    assert await undelivered(rig, chat) == [(item.turn, item.answer) for item in stored]
    receipt = path(chat, f"/messages/{stored[1].answer}/delivered")
    assert [(await chat.tenant.post(receipt)).status_code for _ in range(2)] == [204, 204]
    assert await undelivered(rig, chat) == [(stored[2].turn, stored[2].answer)]
    assert len(await undelivered(rig, other)) == 1
    items = (await chat.tenant.get(path(chat, "/messages"))).json()["items"]
    assert [item["delivered_at"] is not None for item in items] == [False, True, False, True, False, False]
    for wrong, status in ((stored[2].question, 422), (str(new_uuid()), 404), ("7", 404)):
        assert (await chat.tenant.post(path(chat, f"/messages/{wrong}/delivered"))).status_code == status
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        last = MessageId(UUID(int=2**128 - 1))
        assert await Messages(tx).mark_delivered(tenant_id_of(chat), SessionId(UUID(chat.session)), last) == 0
    assert await undelivered(rig, chat) == [(stored[2].turn, stored[2].answer)]


async def test_feedback_is_given_changed_and_taken_back(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    where = path(chat, f"/messages/{stored.answer}/feedback")
    given = await chat.tenant.call("PUT", where, json={"rating": "down", "comment": "Too short"})
    assert (given.status_code, given.json()["rating"], given.json()["comment"]) == (200, "down", "Too short")
    await chat.tenant.call("PUT", where, json={"rating": "up"})
    question, answer = (await chat.tenant.get(path(chat, "/messages"))).json()["items"]
    assert question["feedback"] is None
    assert (answer["feedback"]["rating"], answer["feedback"]["comment"]) == ("up", "")
    for body in (
        {},
        {"rating": "maybe"},
        {"rating": "up", "comment": "x" * 2_001},
        {"rating": "up", "comment": "\x00"},
    ):
        assert (await chat.tenant.call("PUT", where, json=body)).status_code == 422
    assert [(await chat.tenant.call("DELETE", where)).status_code for _ in range(2)] == [204, 204]
    assert (await chat.tenant.get(path(chat, "/messages"))).json()["items"][1]["feedback"] is None


async def test_an_answer_that_is_rated_down_is_kept_no_more(rig: GatewayRig, chat: Chat) -> None:
    tenant, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    scope = CacheScope(tenant, bot, Versions(1, 0), "m", "", CacheConfig(), may_keep=True)
    cipher, kept = await keys_of(rig.services.db, tenant), KeptAnswers(rig.services.redis)
    stored = await store_turn(rig, chat, "How long?")
    for place, text in ((b"one", "Twelve months. [1]"), (b"two", "Twelve months. [1]"), (b"six", "Forty euros.")):
        answer = KeptAnswer("How long?", text, (), "m", SessionId(new_uuid()))
        assert await kept.add(cipher, scope, place, answer) is not None
    where = path(chat, f"/messages/{stored.answer}/feedback")
    assert (await chat.tenant.call("PUT", where, json={"rating": "up"})).status_code == 200
    assert await kept.count(tenant, bot) == 3
    assert (await chat.tenant.call("PUT", where, json={"rating": "down"})).status_code == 200
    assert await kept.count(tenant, bot) == 1


async def test_only_answers_of_the_session_are_rated(rig: GatewayRig, chat: Chat) -> None:
    other = Chat(chat.tenant, chat.bot, await chat.tenant.new_session(chat.bot))
    elsewhere, here = await store_turn(rig, other, "one"), await store_turn(rig, chat, "two")
    for message, status in ((here.question, 422), (elsewhere.answer, 404), (str(new_uuid()), 404)):
        where = path(chat, f"/messages/{message}/feedback")
        assert (await chat.tenant.call("PUT", where, json={"rating": "up"})).status_code == status
        assert (await chat.tenant.call("DELETE", where)).status_code == status


async def test_the_tenant_reads_the_ratings_newest_first_in_pages(rig: GatewayRig, chat: Chat) -> None:
    stored = [await store_turn(rig, chat, text) for text in ("one", "two", "three")]
    for item in (stored[1], stored[2], stored[0]):
        where = path(chat, f"/messages/{item.answer}/feedback")
        await chat.tenant.call("PUT", where, json={"rating": "up", "comment": "ok"})
    listed = f"/chatbots/{chat.bot}/feedback"
    first = (await chat.tenant.get(listed, params={"limit": 2})).json()
    rest = (await chat.tenant.get(listed, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["question"] for item in first["items"] + rest["items"]] == ["one", "three", "two"]
    assert rest["next_cursor"] is None
    newest = first["items"][0]
    assert (newest["message_id"], newest["turn_id"], newest["session_id"]) == (
        stored[0].answer,
        stored[0].turn,
        chat.session,
    )
    assert (newest["rating"], newest["comment"], newest["answer"]) == ("up", "ok", "Twelve months. [1]")
    other_bot = await chat.tenant.new_bot()
    assert (await chat.tenant.get(f"/chatbots/{other_bot}/feedback")).json()["items"] == []
    for cursor in ("x", f"9{'9' * 40}.{new_uuid()}", "1.x"):
        assert (await chat.tenant.get(listed, params={"cursor": cursor})).status_code == 400
