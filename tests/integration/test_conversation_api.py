"""Sessions and messages over HTTP, and the answer as server-sent events."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx

from domain.conversation import Citation, TurnState
from domain.errors import EngineFailed, RateLimited
from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, MessageId, SessionId, TenantId, TurnId, new_uuid
from domain.wire import server_frame
from storage.postgres.database import tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.turns import Turns
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import GatewayRig, Tenant


async def store_turn(rig: GatewayRig, tenant: Tenant, bot: str, session: str, question: str) -> None:
    """An answered turn, as a session host stores it."""
    tenant_id = TenantId(UUID(tenant.grant["tenant"]["id"]))
    turn_id, session_id = TurnId(new_uuid()), SessionId(UUID(session))
    citation = Citation(1, DocumentId(UUID(int=7)), "manual.pdf", 2, None, 10, 24, "Twelve months.")
    usage = Usage(100, 3, 20)
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        turns = Turns(tx, tenant_id)
        epoch = await turns.claim_epoch("test")
        context = await turns.session_context(session_id)
        await turns.accept(context, turn_id, MessageId(new_uuid()), str(uuid4()), question, epoch)
        await turns.end(turn_id, epoch, TurnState.COMPLETED, model="m", plan_reason="test")
        await turns.add_answer(turn_id, session_id, MessageId(new_uuid()), "Twelve months. [1]", (citation,))
        await Ledger(tx).record(tenant_id, turn_id, ChatbotId(UUID(bot)), session_id, "m", usage, 0)


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


async def test_messages_come_oldest_first_with_citations_and_usage(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    session = await tenant.new_session(bot)
    path = f"/chatbots/{bot}/sessions/{session}/messages"
    assert (await tenant.get(path)).json() == {"items": [], "next_cursor": None}
    await store_turn(rig, tenant, bot, session, "How long?")
    await store_turn(rig, tenant, bot, session, "Really?")
    first = (await tenant.get(path, params={"limit": 3})).json()
    rest = (await tenant.get(path, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    question, answer = first["items"][:2]
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
    assert [item["content"] for item in (*first["items"], *rest["items"])][::2] == ["How long?", "Really?"]
    assert rest["next_cursor"] is None
    assert (await tenant.get(f"/chatbots/{bot}/sessions")).json()["items"][0]["title"] == "How long?"


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


def read_events(answer: httpx.Response) -> tuple[list[str], list[dict[str, Any]]]:
    names, frames = [], []
    for record in answer.text.strip().split("\n\n"):
        name, data = record.split("\n")
        server_frame.validate_json(data.removeprefix("data: "))
        names.append(name.removeprefix("event: "))
        frames.append(json.loads(data.removeprefix("data: ")))
    return names, frames
