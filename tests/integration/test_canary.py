"""A word that people say and upload is nowhere on the server's disks, but where docs/encryption.md says it is."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.conversation import Question
from domain.ids import ChatbotId
from storage.postgres.database import tenant_tx
from storage.postgres.sessions import Sessions
from storage.redis.client import connect_redis_for_bytes
from tests.fixtures.desk import Desk, collect
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.sealed import files_with, keys_with, places_with
from tests.fixtures.stored_turns import path, store_turn, tenant_id_of
from tests.fixtures.twins import TwinGenerator, passage

WORD = "Xylophagus"


@pytest.fixture
def word() -> str:
    """One that no other test has said."""
    return f"{WORD}{uuid4().hex[:8]}"


async def test_a_conversation_and_an_upload_leave_no_word(
    rig: GatewayRig, chat: Chat, word: str, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    tenant = chat.tenant
    await tenant.call("PATCH", path(chat), json={"title": f"About the {word}"})
    stored = await store_turn(rig, chat, f"How old is a {word}?", answer=f"A {word} lives for a year.")
    await tenant.call("PUT", path(chat, f"/messages/{stored.answer}/feedback"), json={"rating": "up", "comment": word})
    headers = {"Idempotency-Key": str(uuid4())}
    made = [
        await tenant.post(f"/chatbots/{chat.bot}/sessions", json={"title": f"{word} again"}, headers=headers)
        for _ in range(2)
    ]
    assert [answer.headers.get("idempotency-replayed") for answer in made] == [None, "true"]
    assert made[1].json()["title"] == f"{word} again"
    files = {"files": ("notes.txt", f"The {word} eats wood.".encode())}
    assert (await tenant.post(f"/knowledgebase/{chat.bot}/upload", files=files)).status_code == 202

    shown = (await tenant.get(path(chat, "/messages"))).json()["items"]
    assert [word in item["content"] for item in shown] == [True, True]
    assert shown[1]["feedback"]["comment"] == word
    assert word in (await tenant.get(f"/chatbots/{chat.bot}/feedback")).json()["items"][0]["comment"]
    assert word in (await tenant.get(path(chat, "/branches"))).json()["items"][0]["preview"]

    assert places_with(postgres_url, [word]) == []
    assert files_with(tmp_path / "objects", [word]) == []
    redis = connect_redis_for_bytes(redis_url, 5.0)
    assert await keys_with(redis, [word]) == []
    await redis.aclose()


async def test_the_search_would_find_it(rig: GatewayRig, chat: Chat, word: str, postgres_url: str) -> None:
    """What stays in clear is found, so an empty result means something."""
    await chat.tenant.post("/chatbots", json={"name": word})
    files = {"files": (f"{word}.txt", b"Wood.")}
    await chat.tenant.post(f"/knowledgebase/{chat.bot}/upload", files=files)
    assert places_with(postgres_url, [word]) == ["chatbots.name", "documents.name"]


async def test_a_turn_leaves_no_word_in_redis(desk: Desk, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fixtures import desk as fixture

    monkeypatch.setattr(fixture, "LAMP", passage(f"A {word} costs 40 euros."))
    desk.generator = TwinGenerator({"first": ["It is ", word, "."]})
    actor = await desk.activate()
    events = await collect(actor.submit(desk.session, Question("c1", f"What is a {word}?")))
    assert any(word in event.get("text", "") for event in events)
    assert any(word in cited["snippet"] for event in events for cited in event.get("citations", []))
    kept = [key async for key in desk.redis.scan_iter(match=f"replay:{desk.tenant}:*")]
    assert len(kept) == 1
    assert await keys_with(desk.redis, [word]) == []
    rows: list[Any] = [
        row for table in ("messages", "citations", "sessions", "outbox") for row in await desk.rows(table)
    ]
    assert rows
    assert not [row for row in rows if word in str(row)]
    # What another process reads there is the same turn.
    again = await collect((await desk.activate()).submit(desk.session, Question("c1", f"What is a {word}?")))
    assert again[1:] == events[1:]


async def test_events_moved_to_another_turn_are_not_its(desk: Desk) -> None:
    """Somebody who can write to Redis puts one turn's events under another's name."""
    actor = await desk.activate()
    first = await collect(actor.submit(desk.session, Question("c1", "What does the lamp cost?")))
    desk.generator = TwinGenerator({"first": ["Nobody knows."]})
    second = await collect((await desk.activate()).submit(desk.session, Question("c2", "And the table?")))
    keys = {key.decode().split(":")[2]: key async for key in desk.redis.scan_iter(match=f"replay:{desk.tenant}:*")}
    source, target = keys[first[0]["turn"]], keys[second[0]["turn"]]
    await desk.redis.delete(target)
    await desk.redis.copy(source, target)
    again = await collect((await desk.activate()).submit(desk.session, Question("c2", "And the table?")))
    text = "".join(event["text"] for event in again if event["k"] == "token")
    assert text == "Nobody knows.", "it comes from PostgreSQL then"


async def test_a_title_moved_to_another_session_does_not_open_over_http(rig: GatewayRig, chat: Chat) -> None:
    tenant_id = tenant_id_of(chat)
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        other = await Sessions(tx).insert(tenant_id, ChatbotId(chat.bot), "secret")  # type: ignore[arg-type]
        await tx.execute(
            "update sessions set sealed_title = (select sealed_title from sessions where id = %s) where id = %s",
            [other.id, chat.session],
        )
    answer = await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "unreadable")
    assert "secret" not in answer.text
