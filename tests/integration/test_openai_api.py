"""The official OpenAI client against a chatbot: models, completions whole and streamed, conversations, embeddings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict

from domain.errors import EngineFailed, RateLimited
from storage.postgres.database import fetch_all, tenant_tx
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, SocketRig
from tests.fixtures.stored_turns import tenant_id_of

SCOPES = ["chatbots.read", "conversations.reply"]
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How long is the warranty?"}]
ANSWER = "Twelve months."
COUNTS = """
    select (select count(*) from sessions) as sessions, (select count(*) from turns) as given,
           (select count(*) from messages) as messages, (select count(*) from usage_ledger) as billed"""


async def new_key(chat: Chat, scopes: list[str]) -> str:
    made = await chat.tenant.post("/api-keys", json={"name": "tests", "scopes": scopes})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


@pytest.fixture
async def client(socket_rig: SocketRig, chat: Chat) -> AsyncIterator[openai.AsyncOpenAI]:
    key = await new_key(chat, SCOPES)
    url = f"http://127.0.0.1:{socket_rig.port}/v1"
    async with openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0) as client:
        yield client


async def counts(socket_rig: SocketRig, chat: Chat) -> dict[str, Any]:
    async with tenant_tx(socket_rig.rig.services.db, tenant_id_of(chat)) as tx:
        return dict((await fetch_all(tx, COUNTS))[0])


async def test_every_chatbot_is_a_model(client: openai.AsyncOpenAI, chat: Chat) -> None:
    models = [model async for model in client.models.list()]
    assert [model.id for model in models] == [chat.bot]
    assert (await client.models.retrieve(chat.bot)).id == chat.bot
    for unknown in ("gpt-4o", "00000000-0000-7000-8000-000000000000"):
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(unknown)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model=unknown, messages=QUESTION)


async def test_a_completion_comes_whole(client: openai.AsyncOpenAI, chat: Chat) -> None:
    completion = await client.chat.completions.create(model=chat.bot, messages=QUESTION)
    [choice] = completion.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", ANSWER, "stop")
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
    assert completion.model_extra is not None
    assert completion.model_extra["citations"][0]["document_name"] == "manual.pdf"


async def test_a_completion_streams_with_its_usage(client: openai.AsyncOpenAI, chat: Chat) -> None:
    stream = await client.chat.completions.create(
        model=chat.bot, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text for text in texts if text) == ANSWER
    assert len([text for text in texts if text]) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_conversation_goes_on_in_its_session_and_one_that_is_not_known_is_stored(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    before = await counts(socket_rig, chat)
    said = [*QUESTION]
    for question in ("And in Norway?", "And in Chile?"):
        answer = await client.chat.completions.create(model=chat.bot, messages=said, user="ann")
        said += [
            {"role": "assistant", "content": answer.choices[0].message.content},
            {"role": "user", "content": question},
        ]
    after = await counts(socket_rig, chat)
    assert (after["sessions"] - before["sessions"], after["given"]) == (1, 0)
    # Of somebody else the same words are another conversation, and so they are when asked again.
    await client.chat.completions.create(model=chat.bot, messages=said, user="ben")
    known = await counts(socket_rig, chat)
    assert (known["sessions"] - after["sessions"], known["given"], known["messages"]) == (1, 2, 4)
    assert known["billed"] == 0
    asked = list(socket_rig.rig.conversations.stored.values())
    assert asked == ["How long is the warranty?", "And in Norway?", "And in Chile?"]


async def test_stored_exchanges_are_what_the_next_turn_remembers(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    said: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Obey me."},
        {"role": "user", "content": [{"type": "text", "text": "Where are"}, {"type": "text", "text": " you?"}]},
        {"role": "assistant", "content": "In Oslo."},
        *QUESTION,
    ]
    await client.chat.completions.create(model=chat.bot, messages=said)
    sessions = (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()["items"]
    newest = max(sessions, key=lambda one: one["id"])
    messages = (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions/{newest['id']}/messages")).json()["items"]
    assert [(one["role"], one["content"]) for one in messages] == [
        ("user", "Where are you?"),
        ("assistant", "In Oslo."),
    ]


async def test_what_a_chatbot_cannot_do_is_refused(client: openai.AsyncOpenAI, chat: Chat) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
    wrong: list[dict[str, Any]] = [
        {"messages": QUESTION, "functions": [tool["function"]]},
        {"messages": QUESTION, "n": 2},
        {"messages": QUESTION, "response_format": {"type": "json_schema"}},
        {"messages": QUESTION, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"messages": QUESTION, "response_format": {"type": "yaml"}},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]},
        {"messages": [{"role": "user", "content": "x" * 100_000}]},
    ]
    for request in wrong:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model=chat.bot, **request)
        assert refused.value.status_code in (400, 413, 422), request


async def test_tools_are_refused_with_the_reason(client: openai.AsyncOpenAI, chat: Chat) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
    asked: list[dict[str, Any]] = [{"tools": [tool]}, {"tools": [tool], "stream": True}, {"tool_choice": "required"}]
    for request in asked:
        with pytest.raises(openai.BadRequestError, match="does not call tools"):
            await client.chat.completions.create(model=chat.bot, messages=QUESTION, **request)
    # What libraries send always changes nothing.
    plain: dict[str, Any] = {"tools": [], "tool_choice": "auto"}
    answer = await client.chat.completions.create(model=chat.bot, messages=QUESTION, **plain)
    assert answer.choices[0].message.content == ANSWER


class Warranty(BaseModel):
    model_config = ConfigDict(extra="forbid")

    months: int


async def test_an_answer_by_a_schema_is_parsed_by_the_library(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    twin = socket_rig.rig.conversations
    twin.words = ['{"mon', 'ths":12}']
    parsed = await client.chat.completions.parse(model=chat.bot, messages=QUESTION, response_format=Warranty)
    assert parsed.choices[0].message.parsed == Warranty(months=12)
    [question] = twin.questions.values()
    assert question.form is not None
    assert question.form.schema_object["properties"]["months"]["type"] == "integer"
    assert question.form.strict
    async with client.chat.completions.stream(model=chat.bot, messages=QUESTION, response_format=Warranty) as stream:
        assert (await stream.get_final_completion()).choices[0].message.parsed == Warranty(months=12)


async def test_what_is_no_json_comes_as_a_refusal(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    parsed = await client.chat.completions.parse(model=chat.bot, messages=QUESTION, response_format=Warranty)
    message = parsed.choices[0].message
    assert (message.content, message.parsed, message.refusal) == (None, None, ANSWER)
    # The library sends its own message back, and the conversation goes on in its session.
    before = await counts(socket_rig, chat)
    back: Any = {"role": "assistant", "content": message.content, "refusal": message.refusal}
    again: list[Any] = [*QUESTION, back, {"role": "user", "content": "And in Chile?"}]
    await client.chat.completions.create(
        model=chat.bot, messages=again, response_format={"type": "json_object"}, stream=False
    )
    assert (await counts(socket_rig, chat))["sessions"] == before["sessions"]


async def test_a_key_without_the_scope_and_a_stranger_are_refused(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    reading = client.with_options(api_key=await new_key(chat, ["chatbots.read"]))
    assert [model.id async for model in reading.models.list()] == [chat.bot]
    with pytest.raises(openai.PermissionDeniedError):
        await reading.chat.completions.create(model=chat.bot, messages=QUESTION)
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="nonsense").chat.completions.create(model=chat.bot, messages=QUESTION)
    other = await socket_rig.rig.register()
    foreign = await other.new_bot()
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model=foreign, messages=QUESTION)
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model=foreign, input="x")


async def test_a_refusal_and_a_failure_are_told_as_they_are(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    twin = socket_rig.rig.conversations
    twin.refusal = RateLimited("Slow down.", retry_after=3)
    with pytest.raises(openai.RateLimitError, match="Slow down"):
        await client.chat.completions.create(model=chat.bot, messages=QUESTION)
    twin.refusal, twin.failure = None, EngineFailed("The model broke.")
    with pytest.raises(openai.APIStatusError, match="model broke") as failed:
        await client.chat.completions.create(model=chat.bot, messages=QUESTION)
    assert failed.value.status_code == 502
    stream = await client.chat.completions.create(model=chat.bot, messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="model broke"):
        async for _ in stream:
            pass


async def test_a_client_that_leaves_a_stream_stops_the_answer(
    client: openai.AsyncOpenAI, socket_rig: SocketRig, chat: Chat
) -> None:
    twin = socket_rig.rig.conversations
    twin.may_end.clear()
    async with await client.chat.completions.create(model=chat.bot, messages=QUESTION, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    await eventually(lambda: len(twin.stopped) == 1)


async def test_texts_are_embedded(client: openai.AsyncOpenAI, chat: Chat) -> None:
    for encoding in ("float", "base64"):
        found = await client.embeddings.create(model=chat.bot, input=["one", "two words"], encoding_format=encoding)
        assert [item.index for item in found.data] == [0, 1]
        assert found.usage.prompt_tokens == 3
    plain = await client.embeddings.create(model=chat.bot, input="one")
    assert plain.data[0].embedding == [1.0, 0.0]
    for wrong in ("", [], ["a", ""], ["x"] * 300):
        with pytest.raises(openai.APIStatusError):
            await client.embeddings.create(model=chat.bot, input=wrong)


async def test_many_ask_at_once(client: openai.AsyncOpenAI, chat: Chat) -> None:
    answers = await asyncio.gather(
        *(client.chat.completions.create(model=chat.bot, messages=QUESTION) for _ in range(10))
    )
    assert {answer.choices[0].message.content for answer in answers} == {ANSWER}
