"""Branches over HTTP: a session is a tree of turns, and one way through it is active."""

from typing import Any

import pytest

from domain.ids import new_uuid
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import Stored, path, store_turn


async def messages(chat: Chat, **query: Any) -> list[dict[str, Any]]:
    answer = await chat.tenant.get(path(chat, "/messages"), params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def texts(chat: Chat, **query: Any) -> list[str]:
    return [item["content"] for item in await messages(chat, **query)]


async def branching(rig: GatewayRig, chat: Chat) -> dict[str, Stored]:
    """one ─ two ─ three; two answered again; one asked differently with a question after it, which is active."""
    one = await store_turn(rig, chat, "one", answer="1")
    two = await store_turn(rig, chat, "two", answer="2")
    three = await store_turn(rig, chat, "three", answer="3")
    again = await store_turn(rig, chat, regenerates=two.turn, answer="2 again")
    edited = await store_turn(rig, chat, "uno", edits=one.question, answer="1!")
    after = await store_turn(rig, chat, "dos", answer="2!")
    return {"one": one, "two": two, "three": three, "again": again, "edited": edited, "after": after}


async def test_the_active_branch_is_listed_from_root_to_head(rig: GatewayRig, chat: Chat) -> None:
    tree = await branching(rig, chat)
    items = await messages(chat)
    assert [item["content"] for item in items] == ["uno", "1!", "dos", "2!"]
    assert [item["turn_id"] for item in items] == [tree["edited"].turn] * 2 + [tree["after"].turn] * 2
    assert [item["parent_turn_id"] for item in items] == [None, None, tree["edited"].turn, tree["edited"].turn]
    assert items[0]["versions"] == items[1]["versions"] == [tree["one"].turn, tree["edited"].turn]
    assert items[2]["versions"] == [tree["after"].turn]


async def test_the_branch_of_a_turn_goes_down_to_its_newest_leaf(rig: GatewayRig, chat: Chat) -> None:
    tree = await branching(rig, chat)
    again = ["one", "1", "two", "2 again"]
    assert await texts(chat, turn_id=tree["one"].turn) == again
    assert await texts(chat, turn_id=tree["again"].turn) == again
    assert await texts(chat, turn_id=tree["two"].turn) == ["one", "1", "two", "2", "three", "3"]
    assert await texts(chat, turn_id=tree["three"].turn) == ["one", "1", "two", "2", "three", "3"]


async def test_a_turn_that_answers_again_lists_the_first_question_as_its_own(rig: GatewayRig, chat: Chat) -> None:
    tree = await branching(rig, chat)
    _, _, question, answer = await messages(chat, turn_id=tree["again"].turn)
    assert (question["id"], question["turn_id"]) == (tree["two"].question, tree["again"].turn)
    assert (answer["id"], answer["turn_id"]) == (tree["again"].answer, tree["again"].turn)
    assert question["versions"] == answer["versions"] == [tree["two"].turn, tree["again"].turn]
    assert question["usage"] is None
    assert answer["usage"]["total_tokens"] == 103
    assert answer["citations"][0]["snippet"] == "Twelve months."


async def test_a_turn_without_an_answer_lists_its_question(rig: GatewayRig, chat: Chat) -> None:
    await store_turn(rig, chat, "one", answer=None)
    await store_turn(rig, chat, "two", answer="2")
    items = await messages(chat)
    assert [(item["content"], item["state"]) for item in items] == [
        ("one", "failed"),
        ("two", "completed"),
        ("2", "completed"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_pages_of_a_branch_join_without_gap_or_repetition(rig: GatewayRig, chat: Chat, limit: int) -> None:
    await store_turn(rig, chat, "one", answer="1")
    await store_turn(rig, chat, "two", answer=None)
    three = await store_turn(rig, chat, "three", answer="3")
    await store_turn(rig, chat, regenerates=three.turn, answer="3 again")
    await store_turn(rig, chat, "four", answer="4")
    found, query = [], {"limit": str(limit)}
    while True:
        page = (await chat.tenant.get(path(chat, "/messages"), params=query)).json()
        assert len(page["items"]) <= limit
        found += [item["content"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == ["one", "1", "two", "three", "3 again", "four", "4"]


async def test_a_cursor_of_another_branch_is_refused(rig: GatewayRig, chat: Chat) -> None:
    tree = await branching(rig, chat)
    first = (await chat.tenant.get(path(chat, "/messages"), params={"limit": 1, "turn_id": tree["two"].turn})).json()
    answer = await chat.tenant.get(path(chat, "/messages"), params={"cursor": first["next_cursor"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    query = {"cursor": first["next_cursor"], "turn_id": tree["three"].turn}
    assert await texts(chat, **query) == ["1", "two", "2", "three", "3"]
    for cursor in ("x", f"{new_uuid()}", f"{new_uuid()}.user", "nul\x00", "é.user"):
        answer = await chat.tenant.get(path(chat, "/messages"), params={"cursor": cursor})
        assert answer.status_code == 400, cursor
    assert (await chat.tenant.get(path(chat, "/messages"), params={"cursor": "x" * 101})).status_code == 422


async def test_every_leaf_is_a_branch(rig: GatewayRig, chat: Chat) -> None:
    assert (await chat.tenant.get(path(chat, "/branches"))).json() == {"items": []}
    tree = await branching(rig, chat)
    await store_turn(rig, chat, "é" * 100, answer=None)
    items = (await chat.tenant.get(path(chat, "/branches"))).json()["items"]
    assert [(item["preview"], item["messages"], item["active"]) for item in items] == [
        ("é" * 80, 5, True),
        ("two", 4, False),
        ("three", 6, False),
    ]
    assert [item["turn_id"] for item in items[1:]] == [tree["again"].turn, tree["three"].turn]


async def test_choosing_a_turn_makes_its_newest_branch_the_active_one(rig: GatewayRig, chat: Chat) -> None:
    tree = await branching(rig, chat)
    changed = await chat.tenant.call("PATCH", path(chat), json={"head_turn_id": tree["two"].turn})
    assert (changed.status_code, changed.json()["head_turn_id"]) == (200, tree["three"].turn)
    assert await texts(chat) == ["one", "1", "two", "2", "three", "3"]
    items = (await chat.tenant.get(path(chat, "/branches"))).json()["items"]
    assert [item["turn_id"] for item in items if item["active"]] == [tree["three"].turn]
    await store_turn(rig, chat, "four", answer="4")
    assert (await texts(chat))[-3:] == ["3", "four", "4"]


async def test_turns_of_other_sessions_are_not_found(rig: GatewayRig, chat: Chat) -> None:
    other = Chat(chat.tenant, chat.bot, await chat.tenant.new_session(chat.bot))
    foreign = (await store_turn(rig, other, "one")).turn
    for turn in (foreign, str(new_uuid())):
        assert (await chat.tenant.call("PATCH", path(chat), json={"head_turn_id": turn})).status_code == 404
        assert (await chat.tenant.get(path(chat, "/messages"), params={"turn_id": turn})).status_code == 404
    assert (await chat.tenant.get(path(chat, "/messages"), params={"turn_id": "7"})).status_code == 422
    assert (await chat.tenant.call("PATCH", path(chat), json={"head_turn_id": "7"})).status_code == 422
