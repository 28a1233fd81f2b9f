"""Sessions and messages over HTTP, and the answer as server-sent events."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.conversation import Question
from domain.errors import EngineFailed, RateLimited, SessionClosed
from domain.ids import MessageId, SessionId, TenantId, TurnId, new_uuid
from domain.wire import server_frame
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import path, store_turn


async def test_sessions_are_listed_newest_first_in_pages(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    made = [
        (await tenant.post(f"/chatbots/{bot}/sessions", json={"title": f"No. {number}"})).json() for number in range(3)
    ]
    first = (await tenant.get(f"/chatbots/{bot}/sessions", params={"limit": 2})).json()
    assert first["items"] == [made[2], made[1]]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    assert (await tenant.get(f"/chatbots/{bot}/sessions", params=query)).json() == {
        "items": [made[0]],
        "next_cursor": None,
    }


async def test_messages_come_oldest_first_with_citations_and_usage(rig: GatewayRig, chat: Chat) -> None:
    assert (await chat.tenant.get(path(chat, "/messages"))).json() == {"items": [], "next_cursor": None}
    await store_turn(rig, chat, "How long?")
    await store_turn(rig, chat, "Really?")
    page = (await chat.tenant.get(path(chat, "/messages"))).json()
    question, answer = page["items"][:2]
    assert (question["role"], question["content"], question["citations"], question["usage"]) == (
        "user",
        "How long?",
        [],
        None,
    )
    assert question["turn_id"] == answer["turn_id"]
    assert (answer["role"], answer["state"]) == ("assistant", "completed")
    assert answer["citations"][0]["snippet"] == "Twelve months."
    assert answer["usage"]["total_tokens"] == 103
    assert [item["content"] for item in page["items"]][::2] == ["How long?", "Really?"]
    assert page["next_cursor"] is None
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()["items"][0]["title"] == "How long?"


async def test_a_session_is_renamed_closed_and_opened_again(rig: GatewayRig, chat: Chat) -> None:
    before = (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()["items"][0]
    assert (before["visitor_id"], before["head_turn_id"], before["closed_at"]) == (None, None, None)
    named = await chat.tenant.call("PATCH", path(chat), json={"title": "Warranty"})
    assert (named.status_code, named.json()["title"], named.json()["closed_at"]) == (200, "Warranty", None)
    closed = (await chat.tenant.call("PATCH", path(chat), json={"closed": True})).json()
    assert closed["closed_at"] is not None
    again = (await chat.tenant.call("PATCH", path(chat), json={"closed": True, "title": ""})).json()
    assert (again["closed_at"], again["title"]) == (closed["closed_at"], "")
    assert (await chat.tenant.get(path(chat, "/messages"))).status_code == 200
    with pytest.raises(SessionClosed):
        await store_turn(rig, chat, "How long?")
    opened = (await chat.tenant.call("PATCH", path(chat), json={"closed": False})).json()
    assert opened["closed_at"] is None
    await store_turn(rig, chat, "How long?")


@pytest.mark.parametrize(
    "body", [{"title": "x" * 201}, {"title": "nul \x00"}, {"closed": "soon"}, {"surprise": 1}, [], None]
)
async def test_a_bad_change_of_a_session_changes_nothing(chat: Chat, body: Any) -> None:
    before = (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()
    assert (await chat.tenant.call("PATCH", path(chat), json=body)).status_code == 422
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json() == before


async def test_a_deleted_session_is_gone_with_its_messages(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    await chat.tenant.call("PUT", path(chat, f"/messages/{stored.answer}/feedback"), json={"rating": "up"})
    assert (await chat.tenant.call("DELETE", path(chat))).status_code == 204
    assert (await chat.tenant.call("DELETE", path(chat))).status_code == 404
    assert (await chat.tenant.get(path(chat, "/messages"))).status_code == 404
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()["items"] == []
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/feedback")).json()["items"] == []


async def test_another_tenant_finds_nothing(rig: GatewayRig, chat: Chat) -> None:
    stored = await store_turn(rig, chat, "How long?")
    stranger = await rig.register()
    own_bot = await stranger.new_bot()
    answer = path(chat, f"/messages/{stored.answer}")
    calls: list[tuple[str, str, Any]] = [
        ("GET", path(chat, "/messages"), None),
        ("GET", path(chat, "/branches"), None),
        ("PATCH", path(chat), {"title": "mine"}),
        ("DELETE", path(chat), None),
        ("POST", path(chat, "/messages"), {"text": "How long?"}),
        ("POST", path(chat, f"/turns/{stored.turn}/regenerate"), None),
        ("POST", path(chat, f"/turns/{stored.turn}/stop"), None),
        ("POST", f"{answer}/delivered", None),
        ("PUT", f"{answer}/feedback", {"rating": "down"}),
        ("DELETE", f"{answer}/feedback", None),
        ("GET", f"/chatbots/{chat.bot}/feedback", None),
        ("GET", f"/chatbots/{chat.bot}/visitors", None),
        ("GET", f"/chatbots/{chat.bot}/identity-secret", None),
    ]
    for method, where, body in calls:
        assert (await stranger.call(method, where, json=body)).status_code == 404, (method, where)
        if "/sessions/" in where:
            own = where.replace(chat.bot, own_bot)
            assert (await stranger.call(method, own, json=body)).status_code == 404, (method, own)
        assert (await rig.http.request(method, where, json=body)).status_code == 401, (method, where)
    items = (await chat.tenant.get(path(chat, "/messages"))).json()["items"]
    assert (items[1]["feedback"], items[1]["delivered_at"]) == (None, None)
    assert rig.conversations.asked == 0


async def test_a_posted_message_is_accepted_once_and_its_turn_goes_on(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    path = f"/chatbots/{bot}/sessions/{await tenant.new_session(bot)}/messages"
    body = {"id": str(uuid4()), "text": "How long?"}
    first, again = await tenant.post(path, json=body), await tenant.post(path, json=body)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == {**first.json(), "duplicate": True}
    await eventually(lambda: all(turn.ended for turn in rig.conversations.turns.values()))
    assert len(rig.conversations.turns) == 1


async def test_an_answer_streams_as_server_sent_events(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    path = f"/chatbots/{bot}/sessions/{await tenant.new_session(bot)}/messages"
    answer = await tenant.post(path, json={"text": "How long?"}, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    names, frames = read_events(answer)
    assert names == ["ack", "status", "status", "token", "token", "token", "citations", "done"]
    assert "".join(frame.get("text", "") for frame in frames) == "Twelve months."


async def test_an_answer_that_fails_ends_with_an_error_event(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    path = f"/chatbots/{bot}/sessions/{await tenant.new_session(bot)}/messages"
    rig.conversations.failure = EngineFailed()
    answer = await tenant.post(path, json={"text": "How long?"}, headers={"Accept": "text/event-stream"})
    _, frames = read_events(answer)
    assert (frames[-1]["type"], frames[-1]["code"]) == ("error", "engine_failed")


async def test_a_refused_message_keeps_its_own_status(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    path = f"/chatbots/{bot}/sessions/{await tenant.new_session(bot)}/messages"
    rig.conversations.refusal = RateLimited(retry_after=1.5)
    for accept in ("application/json", "text/event-stream"):
        answer = await tenant.post(path, json={"text": "How long?"}, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    for body in ({"text": ""}, {"text": "x" * 16_001}, {"text": "x", "id": "7"}, {"text": "nul \x00"}, {}):
        assert (await tenant.post(path, json=body)).status_code == 422


@pytest.fixture
def asked(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """What reaches the live sessions."""
    found: list[Question] = []
    submit = rig.conversations.submit

    def record(
        tenant_id: TenantId, session_id: SessionId, question: Question, request_id: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        found.append(question)
        return submit(tenant_id, session_id, question, request_id)

    monkeypatch.setattr(rig.conversations, "submit", record)
    return found


async def test_a_question_edits_and_a_turn_is_answered_again(chat: Chat, asked: list[Question]) -> None:
    client_ids, message, turn = [uuid4(), uuid4()], new_uuid(), new_uuid()
    body = {"id": str(client_ids[0]), "text": "How short?", "edits": str(message)}
    assert (await chat.tenant.post(path(chat, "/messages"), json=body)).status_code == 202
    regenerate = path(chat, f"/turns/{turn}/regenerate")
    assert (await chat.tenant.post(regenerate, json={"id": str(client_ids[1])})).status_code == 202
    answer = await chat.tenant.post(regenerate, headers={"Accept": "text/event-stream"})
    assert read_events(answer)[0][-1] == "done"
    assert asked[:2] == [
        Question(str(client_ids[0]), "How short?", edits=MessageId(message)),
        Question(str(client_ids[1]), regenerates=TurnId(turn)),
    ]
    assert asked[2].regenerates == turn
    assert UUID(asked[2].client_id) not in client_ids
    for wrong in ({"id": "7"}, {"text": "x"}):
        assert (await chat.tenant.post(regenerate, json=wrong)).status_code == 422
    body = {"text": "How short?", "edits": "7"}
    assert (await chat.tenant.post(path(chat, "/messages"), json=body)).status_code == 422
    assert len(asked) == 3


async def test_stopping_says_whether_the_turn_was_running(rig: GatewayRig, chat: Chat) -> None:
    rig.conversations.may_end.clear()
    turn = (await chat.tenant.post(path(chat, "/messages"), json={"text": "How long?"})).json()["turn_id"]
    stop = path(chat, f"/turns/{turn}/stop")
    assert (await chat.tenant.post(path(chat, f"/turns/{new_uuid()}/stop"))).json() == {"stopped": False}
    answer = await chat.tenant.post(stop)
    assert (answer.status_code, answer.json()) == (200, {"stopped": True})
    await eventually(lambda: all(turn.ended for turn in rig.conversations.turns.values()))
    assert (await chat.tenant.post(stop)).json() == {"stopped": False}


def read_events(answer: httpx.Response) -> tuple[list[str], list[dict[str, Any]]]:
    names, frames = [], []
    for record in answer.text.strip().split("\n\n"):
        name, data = record.split("\n")
        server_frame.validate_json(data.removeprefix("data: "))
        names.append(name.removeprefix("event: "))
        frames.append(json.loads(data.removeprefix("data: ")))
    return names, frames
