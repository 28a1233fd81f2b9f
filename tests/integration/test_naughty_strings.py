"""Strings that have broken others: through the text fields of the API and back unchanged, or refused with a type."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cluster.probe.operations import sample
from configs.settings import Settings
from deployments.gateway.visitor_identity import signature_of
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, ask
from tests.fixtures.shared_data import shared_json
from tests.fixtures.stored_turns import path, store_turn

SEVERAL = 8
"""Strings at work at once."""
OWN = [
    "\u202eright to left\u202c",
    "a\u0301\u0301\u0301" * 50,
    "\ufeffbom",
    "\ufffe\uffff\U0010ffff",
    "\u2028\u2029\x85\x0b\x0c\x1b[31m",
    "line\r\nSet-Cookie: a=b",
    "{{7*7}}${7*7}<%= 7*7 %>#{7*7}",
    "'; drop table chatbots; --",
    "%s %(x)s %n {0} {x}",
    '{"$ne": null}',
    "../../../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "1" * 400,
    " leading and trailing ",
    "NULL",
    "\x01\x02\x1f\x7f",
]
REFUSED = ["\x00", "a\x00b"]
"""No store keeps these; lone surrogates are in test_errors.py, for no client library sends them."""


@pytest.fixture
def gateway_settings(gateway_settings: Settings) -> Settings:
    """Limits of calls are another test's."""
    return gateway_settings.model_copy(update={"rate_limit_factor": 10_000.0})


def strings() -> list[str]:
    return [*OWN, *REFUSED, *shared_json("blns.json")]


def refusal(answer: httpx.Response) -> bool:
    """A typed error; anything else fails."""
    if answer.is_success:
        return False
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["code"] in ("invalid_input", "unprocessable")
    return True


async def each(texts: list[str], work: Any) -> int:
    """Run `work` for every text, some at once; how many of them were refused."""
    places = asyncio.Semaphore(SEVERAL)

    async def one(text: str) -> bool:
        async with places:
            return bool(await work(text))

    return sum(await asyncio.gather(*map(one, texts)))


@pytest.mark.timeout(600)
async def test_every_string_comes_back_unchanged(rig: GatewayRig, chat: Chat) -> None:
    tenant, bot = chat.tenant, chat.bot
    stored = await store_turn(rig, chat, "How long?")
    fields = ("persona", "system_prompt", "greeting", "no_answer", "tone")

    async def configure(text: str) -> bool:
        answer = await tenant.call("PUT", f"/chatbots/{bot}/config", json=dict.fromkeys(fields, text[:200]))
        if refusal(answer):
            return True
        assert {answer.json()["config"][field] for field in fields} == {text[:200]}
        return False

    titles: dict[str, str] = {}

    async def rename(text: str) -> bool:
        session = await tenant.post(f"/chatbots/{bot}/sessions", json={"title": text[:200]})
        if refusal(session):
            return True
        assert session.json()["title"] == text[:200]
        titles[session.json()["id"]] = text[:200]
        return False

    async def comment(text: str) -> bool:
        address = path(chat, f"/messages/{stored.answer}/feedback")
        answer = await tenant.call("PUT", address, json={"rating": "up", "comment": text})
        if refusal(answer):
            return True
        assert answer.json()["comment"] == text
        return False

    texts = strings()
    refused = [await each(texts, work) for work in (configure, rename, comment)]
    print(f"{len(texts)} strings through 7 fields; refused: {refused}")
    assert refused == [len(REFUSED)] * 3
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = (await tenant.get(f"/chatbots/{bot}/sessions", params=query)).json()
        for session in page["items"]:
            assert titles.pop(session["id"], session["title"]) == session["title"]
        cursor = page["next_cursor"]
    assert titles == {}


@pytest.mark.timeout(600)
async def test_names_of_people_and_things(rig: GatewayRig, chat: Chat) -> None:
    """Where blank text is no name, it is refused too."""
    tenant = chat.tenant
    secret = (await tenant.get(f"/chatbots/{chat.bot}/identity-secret")).json()["secret"]

    async def person(text: str) -> bool:
        if not text or "\x00" in text:
            return refusal(await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={"user_id": text}))
        name = text[:200]
        body = {"user_id": name, "signature": signature_of(secret, name)}
        first = await rig.http.post(f"/chatbots/{chat.bot}/visitors", json=body)
        assert not refusal(first)
        assert (await rig.http.post(f"/chatbots/{chat.bot}/visitors", json=body)).json()["visitor_id"] == first.json()[
            "visitor_id"
        ]
        return False

    await each(strings()[:150], person)
    for text in strings()[:100]:
        answer = await tenant.post("/chatbots", json={"name": text[:200]})
        if answer.status_code == 402:
            raise AssertionError("the plan's limit was met: bots are not deleted")
        if refusal(answer):
            assert "\x00" in text or not text.strip()
            continue
        made = answer.json()
        assert made["name"] == text[:200]
        assert (await tenant.call("DELETE", f"/chatbots/{made['id']}")).status_code == 204


@pytest.mark.timeout(600)
async def test_questions_arrive_as_they_were_asked(socket_rig: SocketRig, chat: Chat) -> None:
    rig = socket_rig.rig
    sent: dict[str, str] = {}

    async def post(text: str) -> bool:
        session = await chat.tenant.new_session(chat.bot)
        client_id = str(uuid4())
        address = f"/chatbots/{chat.bot}/sessions/{session}/messages"
        answer = await chat.tenant.post(address, json={"id": client_id, "text": text})
        if refusal(answer):
            return True
        sent[client_id] = text
        return False

    refused = await each(strings(), post)
    assert refused == len([text for text in strings() if not text or "\x00" in text])
    async with await socket_rig.ready(*chat.where) as client:
        for text in OWN:
            sent[await ask(client, text)] = text
            await client.until("done")
        await ask(client, REFUSED[1])
        assert (await client.receive())["code"] == "invalid_frame"
    assert {key: rig.conversations.stored[key] for key in sent} == sent


def text_places(
    schema: Mapping[str, Any], document: Mapping[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Paths of the plain strings in a body."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from text_places(choice, document, at)
    for name, inner in schema.get("properties", {}).items():
        yield from text_places(inner, document, (*at, name))
    if schema.get("type") == "string" and "enum" not in schema and at:
        yield at


@pytest.mark.timeout(600)
async def test_no_text_field_of_any_operation_breaks_anything(rig: GatewayRig) -> None:
    """From the OpenAPI document, so that a new field cannot be forgotten."""
    tenant = await rig.register()
    ids = {"chatbot_id": await tenant.new_bot()}
    ids["session_id"] = await tenant.new_session(ids["chatbot_id"])
    document = (await rig.http.get("/openapi.json")).json()
    calls = 0
    texts = [*OWN, *REFUSED]
    for address, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            target = address
            for part in operation.get("parameters", ()):
                if part["in"] == "path":
                    target = target.replace(f"{{{part['name']}}}", ids.get(part["name"], str(uuid4())))
            for place in text_places(content["schema"], document):
                for text in texts:
                    body = sample(content["schema"], document) or {}
                    inner = body
                    for name in place[:-1]:
                        inner = inner.setdefault(name, {})
                    inner[place[-1]] = text
                    answer = await tenant.call(method.upper(), target, json=body)
                    calls += 1
                    assert answer.status_code < 500, f"{method} {address} {place} {text!r}: {answer.text}"
                    if answer.is_error:
                        assert set(answer.json()["error"]) == {"code", "message", "request_id"}
    print(f"{calls} calls")
    assert calls > 10 * len(texts)
