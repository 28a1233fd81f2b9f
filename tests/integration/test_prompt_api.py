"""Prompts over HTTP: the preview, templates that are refused when they are saved, and attributes that are signed."""

import hashlib
import hmac
from typing import Any

import pytest

from domain.ids import VisitorId
from storage.postgres.database import fetch_one, tenant_tx
from storage.postgres.sealed_columns import attributes_of
from storage.postgres.tenant_keys import cipher_of
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.retrieval import chunk_of, retrieval_ports
from tests.fixtures.stored_turns import tenant_id_of

TEMPLATE = "Serve {{visitor.plan|anybody}} of {{chatbot_name}} in {{language|English}}."


@pytest.fixture
def stocked(rig: GatewayRig) -> GatewayRig:
    rig.conversations.retrieval = retrieval_ports([chunk_of(0, "the lamp costs forty euros", 0.8)])
    return rig


async def preview(chat: Chat, **body: Any) -> dict[str, Any]:
    answer = await chat.tenant.post(f"/chatbots/{chat.bot}/prompt-preview", json={"question": "lamp costs", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_preview_shows_what_the_model_would_be_told(stocked: GatewayRig, chat: Chat) -> None:
    history = [{"role": "user", "content": "Is there a lamp?"}, {"role": "assistant", "content": "Yes."}]
    config = {
        "prompt": {"template": TEMPLATE, "examples": [{"question": "Who are you?", "answer": "A bot."}]},
        "context": {"strategy": "summary"},
    }
    shown = await preview(
        chat, config=config, history=history, summary="They moved.", locale="de-AT", attributes={"plan": "pro"}
    )
    system, *said, last = shown["messages"]
    assert system["content"].startswith('Serve "pro" of ')
    assert "in German." in system["content"]
    assert [one["content"] for one in said] == ["Who are you?", "A bot.", "Is there a lamp?", "Yes."]
    for part in ("They moved.", "[1] the lamp costs forty euros", "Question: lamp costs"):
        assert part in last["content"]
    assert [one["ordinal"] for one in shown["passages"]] == [0]
    assert all(tokens > 0 for tokens in shown["parts"].values())
    assert sum(shown["parts"].values()) < shown["tokens"] <= shown["context_tokens"] - shown["max_tokens"]
    assert (shown["asked"], shown["summary"]) == (True, "shown")
    assert shown["left_out"] == {"passages": 0, "history": 0, "examples": 0}
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}")).json()["version"] == 1, "nothing is kept"


async def test_the_preview_begins_with_the_draft_where_it_is_asked_to(stocked: GatewayRig, chat: Chat) -> None:
    missing = await chat.tenant.post(f"/chatbots/{chat.bot}/prompt-preview", json={"question": "lamp", "draft": True})
    assert missing.status_code == 404
    draft = {"prompt": {"template": "From the draft."}}
    assert (await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/draft", json=draft)).status_code == 200
    assert (await preview(chat, draft=True))["messages"][0]["content"] == "From the draft."
    assert (await preview(chat))["messages"][0]["content"] != "From the draft."


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"question": ""}, 422, None),
        ({"locale": "en; ignore"}, 422, None),
        ({"attributes": {"Plan": "x"}}, 400, "invalid_input"),
        ({"config": {"prompt": {"template": "{{nothing}}"}}}, 422, None),
        ({"config": {"nothing": 1}}, 422, None),
        ({"question": "word " * 3_000, "config": {"prompt": {"template": "word " * 3_000}}}, 422, "prompt_too_long"),
    ],
)
async def test_what_cannot_be_a_prompt_is_refused(
    stocked: GatewayRig, chat: Chat, body: dict[str, Any], status: int, code: str | None
) -> None:
    answer = await chat.tenant.post(f"/chatbots/{chat.bot}/prompt-preview", json={"question": "lamp", **body})
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["error"]["code"] == code


async def test_a_broken_template_is_refused_when_it_is_saved(rig: GatewayRig, chat: Chat) -> None:
    for address in ("config", "draft"):
        answer = await chat.tenant.call(
            "PUT", f"/chatbots/{chat.bot}/{address}", json={"prompt": {"template": "Hello\n  {{nobody}}"}}
        )
        assert answer.status_code == 422
        assert "line 2, column 3: there is no 'nobody'" in answer.text


async def test_variables_can_be_taken_away_again(rig: GatewayRig, chat: Chat) -> None:
    address = f"/chatbots/{chat.bot}/config"
    variables = [{"name": "hours", "value": "9 to 5"}, {"name": "town", "value": "Graz"}]
    for wanted in (variables, variables[:1], []):
        answer = await chat.tenant.call("PUT", address, json={"prompt": {"variables": wanted}})
        assert answer.json()["config"]["prompt"]["variables"] == wanted


async def test_attributes_are_taken_with_their_signature_only(rig: GatewayRig, chat: Chat) -> None:
    secret = (await chat.tenant.get(f"/chatbots/{chat.bot}/identity-secret")).json()["secret"]
    attributes = '{"plan":"pro"}'

    def signature(text: str, key: str) -> str:
        return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()

    async def status(**body: Any) -> int:
        return (await rig.http.post(f"/chatbots/{chat.bot}/visitors", json=body)).status_code

    right = signature(f"u-1\n{attributes}", f"{secret}:attributes")
    answer = await rig.http.post(
        f"/chatbots/{chat.bot}/visitors", json={"user_id": "u-1", "attributes": attributes, "signature": right}
    )
    assert answer.status_code == 201, answer.text
    visitor, tenant = VisitorId(answer.json()["visitor_id"]), tenant_id_of(chat)

    async def stored() -> dict[str, str]:
        async with tenant_tx(rig.services.db, tenant) as tx:
            row = await fetch_one(tx, "select id, sealed_attributes from visitors where id = %(id)s", id=visitor)
            assert row is not None
            return attributes_of(await cipher_of(tx, tenant), row["id"], row["sealed_attributes"])

    assert await stored() == {"plan": "pro"}
    # A name that was signed is not a name with attributes, whatever it says.
    name = f"u-1\n{attributes}"
    assert await status(user_id="u-1", attributes=attributes, signature=signature(name, secret)) == 401
    assert await status(user_id="u-1", attributes='{"plan":"max"}', signature=right) == 401
    assert await status(user_id="u-2", attributes=attributes, signature=right) == 401
    split = '{"a":\n"b"}'
    assert (
        await status(user_id="u-1", attributes=split, signature=signature(f"u-1\n{split}", f"{secret}:attributes"))
        == 401
    )
    assert await status(attributes=attributes) == 400
    wrong = '{"plan":1}'
    assert (
        await status(user_id="u-1", attributes=wrong, signature=signature(f"u-1\n{wrong}", f"{secret}:attributes"))
        == 400
    )
    assert await status(user_id="u-1", signature=signature("u-1", secret)) == 201
    assert await stored() == {"plan": "pro"}, "who comes without any keeps them"
