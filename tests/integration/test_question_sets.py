"""Question sets over HTTP: uploaded, drawn from conversations, sealed, bounded, and erased with what they came from."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.ids import DocumentId, UserId
from domain.permissions import Permission
from storage.postgres.database import system_tx
from tests.fixtures.erasure import ErasureRig, canary, erase_visitor, visitor_chat
from tests.fixtures.gateway import Chat, GatewayRig, Tenant
from tests.fixtures.sealed import places_with
from tests.fixtures.stored_turns import path, store_turn, tenant_id_of
from tests.integration.test_permission_matrix import key_of


async def new_set(tenant: Tenant, bot: str, *questions: dict[str, Any]) -> str:
    """The address of a set with these questions."""
    made = await tenant.post(f"/chatbots/{bot}/question-sets", json={"name": "Sales"})
    assert made.status_code == 201, made.text
    address = f"/chatbots/{bot}/question-sets/{made.json()['id']}"
    if questions:
        added = await tenant.post(f"{address}/questions", json={"questions": list(questions)})
        assert added.status_code == 200, added.text
    return address


async def upload(tenant: Tenant, address: str, data: str, name: str = "set.jsonl") -> httpx.Response:
    return await tenant.post(f"{address}/upload", files={"files": (name, data.encode(), "text/plain")})


async def questions_of(tenant: Tenant, address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await tenant.get(f"{address}/questions")).json()["items"]
    return found


async def test_a_set_is_made_filled_listed_and_deleted(rig: GatewayRig, chat: Chat) -> None:
    tenant = chat.tenant
    address = await new_set(tenant, chat.bot)
    lines = [{"question": f"Question {number}?", "answer": str(number)} for number in range(60)]
    added = await upload(tenant, address, "\n".join(json.dumps(line) for line in lines))
    assert (added.status_code, added.json()["added"], added.json()["known"]) == (200, 60, 0)
    again = await upload(tenant, address, "question,answer\nQUESTION 7,7\nAnother?,8\n", "more.csv")
    assert (again.json()["added"], again.json()["known"]) == (1, 1)
    assert (again.json()["question_set"]["revision"], again.json()["question_set"]["questions"]) == (3, 61)
    first = (await tenant.get(f"{address}/questions", params={"limit": 40})).json()
    rest = (await tenant.get(f"{address}/questions", params={"cursor": first["next_cursor"]})).json()
    assert [one["spec"]["question"] for one in (*first["items"], *rest["items"])] == [
        *(line["question"] for line in lines),
        "Another?",
    ]
    gone = first["items"][0]["id"]
    assert (await tenant.call("DELETE", f"{address}/questions/{gone}")).status_code == 204
    assert (await tenant.call("DELETE", f"{address}/questions/{gone}")).status_code == 404
    assert (await tenant.get(f"/chatbots/{chat.bot}/question-sets")).json()["items"][0]["questions"] == 60
    assert (await tenant.call("DELETE", address)).status_code == 204
    assert (await tenant.get(address)).status_code == 404


async def test_a_file_with_a_mistake_adds_nothing(rig: GatewayRig, chat: Chat) -> None:
    address = await new_set(chat.tenant, chat.bot)
    refused = await upload(chat.tenant, address, '{"question": "Fine?"}\n{"question": 7}')
    assert refused.status_code == 422
    assert refused.json()["error"]["message"] == "Line 2: question: Input should be a valid string."
    strange = json.dumps({"question": "Where?", "passages": [{"document_id": str(uuid4())}]})
    assert "no document with the id" in (await upload(chat.tenant, address, strange)).json()["error"]["message"]
    assert (await chat.tenant.get(address)).json()["questions"] == 0


async def test_what_is_liked_becomes_an_expectation_and_nobody_is_named(rig: GatewayRig, chat: Chat) -> None:
    tenant, document = chat.tenant, await uploaded(chat)
    visitor, visitor_id = await visitor_chat(rig, chat)
    liked = await store_turn(rig, visitor, "How long is the warranty?")
    await cite(rig, liked.answer, document)
    await store_turn(rig, visitor, "And abroad?", answer="Six months. [1]")
    disliked = await store_turn(rig, chat, "Who are you?", answer="A lamp.")
    await store_turn(rig, chat, "HOW LONG is the warranty", answer="A year.")
    await store_turn(rig, chat, "Never answered?", answer=None)
    for one, rating in ((liked, "up"), (disliked, "down")):
        who = visitor if one is liked else chat
        rated = await who.tenant.call("PUT", path(who, f"/messages/{one.answer}/feedback"), json={"rating": rating})
        assert rated.status_code == 200, rated.text
    address = await new_set(tenant, chat.bot)
    drawn = await tenant.post(f"{address}/draw", json={"rating": "up"})
    assert (drawn.status_code, drawn.json()["added"]) == (200, 1)
    [question] = await questions_of(tenant, address)
    assert question["spec"] == {
        "question": "How long is the warranty?",
        "history": [],
        "answers": ["Twelve months."],
        "passages": [{"document_id": document, "document": None, "start": 10, "end": 24, "snippet": "Twelve months."}],
        "answerable": True,
    }
    assert (question["source"], question["rating"]) == ("conversation", "up")
    whole = await tenant.post(f"{address}/draw", json={})
    # The one that was asked first in a conversation stands alone; behind another exchange it is another question.
    assert {one["spec"]["question"] for one in await questions_of(tenant, address)} == {
        "How long is the warranty?",
        "And abroad?",
        "Who are you?",
        "HOW LONG is the warranty",
    }
    follow_up = next(one for one in await questions_of(tenant, address) if one["spec"]["question"] == "And abroad?")
    assert [said["content"] for said in follow_up["spec"]["history"]] == [
        "How long is the warranty?",
        "Twelve months. [1]",
    ]
    assert (follow_up["spec"]["answers"], follow_up["rating"]) == ([], None)
    assert (whole.json()["added"], whole.json()["known"]) == (3, 1)
    shown = (await tenant.get(f"{address}/questions")).text
    assert visitor_id not in shown
    assert visitor.session not in shown


async def test_drawing_needs_the_right_to_read_conversations(rig: GatewayRig, chat: Chat) -> None:
    address = await new_set(chat.tenant, chat.bot)
    owner = UserId(UUID(chat.tenant.grant["user"]["id"]))
    _, key = await key_of(rig, tenant_id_of(chat), owner, [Permission.EVALUATIONS_RUN])
    answer = await rig.http.post(f"{address}/draw", json={}, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403


async def test_questions_are_sealed(erasing: ErasureRig, chat: Chat) -> None:
    word = canary()
    spec = {
        "question": f"Is it {word}?",
        "answers": [word],
        "history": [{"role": "user", "content": word}],
        "passages": [{"document": word, "snippet": word}],
    }
    address = await new_set(chat.tenant, chat.bot, spec)
    [question] = await questions_of(chat.tenant, address)
    assert question["spec"]["passages"][0]["snippet"] == word
    assert places_with(erasing.url, [word]) == []


async def test_what_a_visitor_asked_goes_with_the_visitor(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await store_turn(erasing.rig, theirs, "What is theirs?")
    await store_turn(erasing.rig, chat, "What is ours?")
    address = await new_set(chat.tenant, chat.bot)
    assert (await chat.tenant.post(f"{address}/draw", json={})).json()["added"] == 2
    erased = await erase_visitor(theirs, visitor)
    assert [one["spec"]["question"] for one in await questions_of(chat.tenant, address)] == ["What is ours?"]
    erasure = await erasing.finish(tenant_id_of(chat), erased.json()["id"])
    assert erasure.counts["postgres.evaluation_questions"] == 1


async def test_what_is_quoted_of_a_document_goes_with_the_document(erasing: ErasureRig, chat: Chat) -> None:
    document = await erasing.document(chat, "lamp")
    passage = {"document_id": str(document), "start": 0, "end": 9, "snippet": "It says lamp."}
    address = await new_set(chat.tenant, chat.bot, {"question": "Which?", "answers": ["lamp"], "passages": [passage]})
    await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    [question] = await questions_of(chat.tenant, address)
    assert (question["spec"]["passages"], question["spec"]["answers"]) == ([], ["lamp"])


async def test_another_bot_and_another_company_see_nothing(rig: GatewayRig, chat: Chat) -> None:
    address = await new_set(chat.tenant, chat.bot, {"question": "Which?"})
    stranger, other = await rig.register(), await chat.tenant.new_bot()
    for who, place in ((stranger, address), (chat.tenant, address.replace(chat.bot, other))):
        for method, tail, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("GET", "/questions", None),
            ("POST", "/questions", {"questions": [{"question": "Mine?"}]}),
            ("POST", "/draw", {}),
        ):
            assert (await who.call(method, place + tail, json=body)).status_code == 404, (method, tail)
        assert (await upload(who, place, '{"question": "Mine?"}')).status_code == 404


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\x00b"])
async def test_a_set_has_a_name(rig: GatewayRig, chat: Chat, name: str) -> None:
    answer = await chat.tenant.post(f"/chatbots/{chat.bot}/question-sets", json={"name": name})
    assert answer.status_code in (400, 422)


async def uploaded(chat: Chat) -> str:
    answer = await chat.tenant.post(
        f"/knowledgebase/{chat.bot}/upload", files={"files": ("manual.txt", b"Twelve months.", "text/plain")}
    )
    return str(answer.json()["documents"][0]["id"])


async def cite(rig: GatewayRig, answer: str | None, document: str) -> None:
    """Let the answer's citation be of a document that is there."""
    async with system_tx(rig.services.db) as tx:
        await tx.execute(
            "update citations set document_id = %s where message_id = %s", [DocumentId(UUID(document)), answer]
        )
