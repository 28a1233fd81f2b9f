"""Consent, retention and analytics over a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.conversation import Question, TurnState
from domain.errors import ConsentRequired
from domain.ids import MessageId, SessionId, TurnId, new_uuid
from domain.tenancy import Role
from pipelines.retention import expire
from storage.postgres.database import tenant_tx
from storage.postgres.turns import Turns
from tests.fixtures.erasure import ErasureRig, canary, visitor_chat
from tests.fixtures.gateway import Chat, SocketRig, Tenant
from tests.fixtures.stored_turns import path, store_turn, tenant_id_of
from tests.integration.test_permission_matrix import person

POLICY = {"policy_url": "https://example.com/privacy", "policy_version": "2026-11", "consent_required": True}


async def configure(chat: Chat, **config: Any) -> None:
    answer = await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json=config)
    assert answer.status_code == 200, answer.text


async def agree(chat: Chat, visitor: str, version: str) -> int:
    address = f"/chatbots/{chat.bot}/visitors/{visitor}/consent"
    return (await chat.tenant.post(address, json={"policy_version": version})).status_code


async def ask(erasing: ErasureRig, chat: Chat) -> None:
    """As a session host stores a question."""
    tenant = tenant_id_of(chat)
    async with tenant_tx(erasing.rig.services.db, tenant) as tx:
        turns = Turns(tx, tenant)
        epoch = await turns.claim_epoch("test")
        ids = TurnId(new_uuid()), MessageId(new_uuid())
        session = SessionId(UUID(chat.session))
        accepted = await turns.accept(session, Question(str(uuid4()), "Hello?"), *ids, epoch, TurnState.RUNNING)
        assert accepted is not None
        await turns.end(accepted.turn_id, epoch, TurnState.STOPPED)


async def test_no_question_is_taken_without_consent(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await ask(erasing, theirs)
    await configure(chat, privacy=POLICY)
    with pytest.raises(ConsentRequired) as refusal:
        await ask(erasing, theirs)
    assert (refusal.value.status, refusal.value.code) == (403, "consent_required")
    await ask(erasing, chat)  # the tenant's people agree to nothing
    assert await agree(theirs, visitor, "2026-10") == 409
    assert await agree(theirs, visitor, "2026-11") == 201
    await ask(erasing, theirs)
    await configure(chat, privacy={"policy_version": "2026-12"})
    with pytest.raises(ConsentRequired):
        await ask(erasing, theirs)
    assert await agree(theirs, visitor, "2026-12") == 201
    await ask(erasing, theirs)
    items = (await chat.tenant.get(f"/chatbots/{chat.bot}/visitors/{visitor}/consents")).json()["items"]
    assert [(item["policy_version"], item["ip"]) for item in items] == [
        ("2026-12", "203.0.113.0"),
        ("2026-11", "203.0.113.0"),
    ]
    assert (await theirs.tenant.get(f"/chatbots/{chat.bot}/visitors/{visitor}/consents")).json()["items"] == items


async def test_nobody_agrees_for_somebody_else(erasing: ErasureRig, chat: Chat) -> None:
    await configure(chat, privacy=POLICY)
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    other, other_id = await visitor_chat(erasing.rig, chat)
    assert await agree(chat, visitor, "2026-11") == 404
    assert await agree(other, visitor, "2026-11") == 404
    assert (await other.tenant.get(f"/chatbots/{chat.bot}/visitors/{visitor}/consents")).status_code == 404
    assert await agree(theirs, visitor, "x" * 51) == 422
    assert await agree(theirs, visitor, "a b") == 422
    assert await agree(other, other_id, "2026-11") == 201
    with pytest.raises(ConsentRequired):
        await ask(erasing, theirs)


async def test_who_opens_a_chat_is_told_what_to_agree_to(
    erasing: ErasureRig, socket_rig: SocketRig, chat: Chat
) -> None:
    await configure(chat, privacy=POLICY)
    needed = {"policy_url": POLICY["policy_url"], "policy_version": POLICY["policy_version"]}
    grant = (await erasing.rig.http.post(f"/chatbots/{chat.bot}/visitors")).json()
    assert grant["consent"] == needed
    visitor = Tenant(erasing.rig.http, {**chat.tenant.grant, "access_token": grant["token"]}, "")
    theirs = Chat(visitor, chat.bot, await visitor.new_session(chat.bot))
    for expected in (needed, None):
        async with await socket_rig.connect(chat.bot, theirs.session) as client:
            await client.send(type="auth", token=grant["token"])
            assert (await client.expect("ready"))["consent"] == expected
        assert await agree(theirs, grant["visitor_id"], "2026-11") == 201
    back = await erasing.rig.http.post(f"/chatbots/{chat.bot}/visitors", json={"token": grant["token"]})
    assert back.json()["consent"] is None


@pytest.mark.parametrize(
    "config",
    [
        {"privacy": {"policy_url": "javascript:alert(1)"}},
        {"privacy": {"policy_version": ""}},
        {"privacy": {"unknown": 1}},
        {"retention_days": 0},
        {"retention_days": 3_651},
        {"retention_days": "a week"},
    ],
)
async def test_a_wrong_privacy_setting_is_refused(chat: Chat, config: Any) -> None:
    assert (await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json=config)).status_code == 422


async def age(erasing: ErasureRig, table: str, column: str, days: int, identifier: str) -> None:
    statement = f"update {table} set {column} = now() - make_interval(days => %s) where id = %s"
    await erasing.owner.execute(statement.encode(), [days, identifier])


async def test_what_is_older_than_its_bot_keeps_goes_with_its_traces(erasing: ErasureRig, chat: Chat) -> None:
    gone, kept = canary(), canary()
    old, old_visitor = await visitor_chat(erasing.rig, chat)
    young, young_visitor = await visitor_chat(erasing.rig, chat)
    other_bot = await chat.tenant.new_bot()
    forever = Chat(chat.tenant, other_bot, await chat.tenant.new_session(other_bot))
    await erasing.talk(old, gone)
    for where in (young, forever):
        await erasing.talk(where, kept)
    document = await erasing.document(chat, kept)
    for session in (old.session, forever.session, chat.session):
        await age(erasing, "sessions", "updated_at", 31, session)
    for visitor in (old_visitor, young_visitor):
        await age(erasing, "visitors", "last_seen_at", 31, visitor)
    assert await expire(erasing.rig.services.db) == {}
    await configure(chat, retention_days=30)
    went = await expire(erasing.rig.services.db, batch=1)
    assert (went["postgres.sessions"], went["postgres.messages"], went["postgres.visitors"]) == (2, 2, 1)
    assert await expire(erasing.rig.services.db) == {}
    items = (await chat.tenant.get("/erasures")).json()["items"]
    assert {(item["kind"], item["requested_by"]) for item in items} == {("retention", "retention")}
    for item in items:
        await erasing.finish(tenant_id_of(chat), item["id"])
    assert await erasing.places(gone) == []
    assert {place.split()[0] for place in await erasing.places(kept)} == {"postgres", "file", "valkey"}
    assert (await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents/{document}")).status_code == 200


async def test_a_conversation_that_is_being_answered_is_kept(erasing: ErasureRig, chat: Chat) -> None:
    await store_turn(erasing.rig, chat, "Hello?")
    await erasing.owner.execute("update turns set state = 'running' where session_id = %s", [chat.session])
    await age(erasing, "sessions", "updated_at", 31, chat.session)
    await configure(chat, retention_days=30)
    assert await expire(erasing.rig.services.db) == {}
    assert (await chat.tenant.get(path(chat, "/messages"))).status_code == 200


async def test_analytics_count_and_name_nobody(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await theirs.tenant.new_session(chat.bot)
    await visitor_chat(erasing.rig, chat)
    await erasing.talk(theirs, canary())
    await store_turn(erasing.rig, chat, "Hello?", answer=None)
    stranger = await erasing.rig.register()
    answer = await chat.tenant.get("/analytics")
    today = datetime.now(UTC).date()
    [day] = answer.json()["items"]
    assert day == {
        "day": str(today),
        "chatbot_id": chat.bot,
        "sessions": 4,
        "visitors": 2,
        "turns": 2,
        "completed": 1,
        "stopped": 0,
        "interrupted": 0,
        "failed": 1,
        "cached": 0,
        "rated_up": 0,
        "rated_down": 1,
        "prompt_tokens": 100,
        "completion_tokens": 3,
    }
    assert visitor not in answer.text
    assert (await stranger.get("/analytics")).json()["items"] == []
    assert (await stranger.get(f"/analytics?chatbot_id={chat.bot}")).json()["items"] == []
    yesterday = today - timedelta(days=1)
    assert (await chat.tenant.get(f"/analytics?until={yesterday}")).json()["items"] == []
    assert len((await chat.tenant.get(f"/analytics?since={yesterday}&until={today}")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=2026-02-01&until=2026-01-01", 400),
        ("since=2020-01-01&until=2026-01-01", 400),
        ("until=0001-01-01", 400),
        ("until=9999-12-31", 400),
        ("since=yesterday", 422),
        ("chatbot_id=x", 422),
    ],
)
async def test_a_wrong_period_is_refused(chat: Chat, query: str, status: int) -> None:
    assert (await chat.tenant.get(f"/analytics?{query}")).status_code == status


async def test_analysts_read_analytics_and_agents_do_not(erasing: ErasureRig, chat: Chat) -> None:
    for role, status in ((Role.ANALYST, 200), (Role.AGENT, 403)):
        token = await person(erasing.rig, tenant_id_of(chat), role)
        answer = await erasing.rig.http.get("/analytics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
