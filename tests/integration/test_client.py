"""The Python client against the real gateway, its session hosts being a twin."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from cluster.client import Backoff, ChatClient, ChatError
from domain.errors import EngineFailed, TurnRunning
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, SocketRig

AT_ONCE = Backoff(random=lambda: 0.0)
CLIENT_ID = uuid4()


def client_of(socket_rig: SocketRig, chat: Chat, session: str | None = None, **options: Any) -> ChatClient:
    url = f"http://127.0.0.1:{socket_rig.port}"
    token = options.pop("token", chat.tenant.grant["access_token"])
    return ChatClient(url, token, chat.bot, session or chat.session, backoff=AT_ONCE, **options)


async def test_a_question_and_its_answer(socket_rig: SocketRig, chat: Chat) -> None:
    async with client_of(socket_rig, chat) as client:
        assert client.ready["chatbot_name"] == "Helper"
        answer = client.ask("How long?")
        pieces = [piece async for piece in answer]
        result = await answer.result()
        assert result.text == "".join(pieces) == "Twelve months."
        assert (result.state, result.citations[0]["document_name"]) == ("completed", "manual.pdf")
        assert result.usage["total_tokens"] == 103
        assert client.turns()[result.turn_id].text == "Twelve months."
        assert client.violations == []


async def test_a_turn_survives_any_number_of_lost_connections(socket_rig: SocketRig, chat: Chat) -> None:
    twin = socket_rig.rig.conversations
    twin.may_end.clear()
    async with client_of(socket_rig, chat) as client:
        answer = client.ask("How long?", id=CLIENT_ID)
        await answer.acknowledged()
        await eventually(lambda: answer.text)
        for _ in range(3):
            await client.disconnect()
        twin.may_end.set()
        result = await answer.result()
        assert result.text == "Twelve months."
        assert client.violations == []
    assert list(twin.stored) == [str(CLIENT_ID)]


async def test_a_question_whose_ack_was_lost_makes_one_turn(socket_rig: SocketRig, chat: Chat) -> None:
    twin = socket_rig.rig.conversations
    twin.may_store.clear()
    async with client_of(socket_rig, chat) as client:
        answer = client.ask("How long?")
        await eventually(lambda: twin.asked == 1)
        await client.disconnect()
        twin.may_store.set()
        assert (await answer.result()).text == "Twelve months."
        assert client.violations == []
    assert list(twin.stored) == [answer.id]


async def test_an_answer_that_ended_while_nobody_listened(socket_rig: SocketRig, chat: Chat) -> None:
    async with client_of(socket_rig, chat) as client:
        first = await client.ask("How long?", id=CLIENT_ID).result()
    async with client_of(socket_rig, chat) as client:
        again = await client.ask("How long?", id=CLIENT_ID).result()
        assert (again.turn_id, again.text) == (first.turn_id, first.text)
        assert client.violations == []


async def test_a_stopped_answer(socket_rig: SocketRig, chat: Chat) -> None:
    socket_rig.rig.conversations.may_end.clear()
    async with client_of(socket_rig, chat) as client:
        answer = client.ask("How long?")
        await answer.acknowledged()
        await client.stop()
        assert (await answer.result()).state == "stopped"


async def test_a_refused_and_a_failed_question(socket_rig: SocketRig, chat: Chat) -> None:
    twin = socket_rig.rig.conversations
    async with client_of(socket_rig, chat) as client:
        twin.refusal = TurnRunning(retry_after=2)
        with pytest.raises(ChatError) as refused:
            await client.ask("How long?").result()
        assert (refused.value.code, refused.value.retry_after) == ("turn_running", 2)
        assert refused.value.request_id
        twin.refusal, twin.failure = None, EngineFailed()
        failed = client.ask("How long?")
        with pytest.raises(ChatError) as ended:
            await failed.result()
        assert (ended.value.code, failed.text) == ("engine_failed", "Twelve months.")


async def test_a_question_that_edits_and_one_that_is_answered_again(socket_rig: SocketRig, chat: Chat) -> None:
    async with client_of(socket_rig, chat) as client:
        first = await client.ask("How long?").result()
        edits = uuid4()
        edited = await client.ask("How wide?", edits=str(edits)).result()
        again = await client.regenerate(first.turn_id).result()
        assert len({first.turn_id, edited.turn_id, again.turn_id}) == 3
        assert client.violations == []
    asked = list(socket_rig.rig.conversations.questions.values())
    assert [(question.text, question.edits) for question in asked] == [
        ("How long?", None),
        ("How wide?", edits),
        ("", None),
    ]
    assert [str(question.regenerates) for question in asked] == ["None", "None", first.turn_id]


async def test_another_tab_sees_the_running_turn(socket_rig: SocketRig, chat: Chat) -> None:
    twin = socket_rig.rig.conversations
    twin.may_end.clear()
    async with client_of(socket_rig, chat) as client:
        answer = client.ask("How long?")
        await answer.acknowledged()
        assert answer.turn_id is not None
        async with client_of(socket_rig, chat) as tab:
            await eventually(lambda: answer.turn_id in tab.turns())
            twin.may_end.set()
            await answer.result()
            await eventually(lambda: tab.turns()[answer.turn_id or ""].ended)
            assert tab.turns()[answer.turn_id].text == "Twelve months."
            assert tab.violations == client.violations == []


async def test_a_tab_that_is_open_sees_what_another_one_asks(socket_rig: SocketRig, chat: Chat) -> None:
    async with client_of(socket_rig, chat) as client, client_of(socket_rig, chat) as tab:
        result = await client.ask("How long?").result()
        await eventually(lambda: result.turn_id in tab.turns() and tab.turns()[result.turn_id].ended)
        assert tab.turns()[result.turn_id].text == result.text
        assert tab.violations == client.violations == []


async def test_a_receipt_is_sent(socket_rig: SocketRig, chat: Chat) -> None:
    sent = []

    def observe(kind: str, fields: dict[str, Any]) -> None:
        if kind == "sent":
            sent.append(fields["frame"])

    async with client_of(socket_rig, chat, observe=observe) as client:
        result = await client.ask("How long?").result()
        await client.delivered(result.message_id)
        await eventually(lambda: sent[-1]["type"] == "delivered")
        assert sent[-1]["message_id"] == result.message_id


async def test_a_session_that_does_not_exist(socket_rig: SocketRig, chat: Chat) -> None:
    with pytest.raises(ChatError) as caught:
        async with client_of(socket_rig, chat, session=str(uuid4())):
            pass
    assert caught.value.code == "not_found"


async def test_a_token_that_is_not_valid(socket_rig: SocketRig, chat: Chat) -> None:
    with pytest.raises(ChatError) as caught:
        async with client_of(socket_rig, chat, token="forged"):
            pass
    assert caught.value.code == "not_authenticated"


async def test_a_long_question_in_another_script(socket_rig: SocketRig, chat: Chat) -> None:
    text = "長" * 16_000
    async with client_of(socket_rig, chat) as client:
        answer = client.ask(text)
        await answer.result()
        with pytest.raises(ValueError, match="16000"):
            client.ask(text + "長")
    assert socket_rig.rig.conversations.stored[answer.id] == text


async def test_many_sessions_at_once(socket_rig: SocketRig, chat: Chat) -> None:
    sessions = [await chat.tenant.new_session(chat.bot) for _ in range(4)]

    async def talk(session: str) -> str:
        async with client_of(socket_rig, chat, session=session) as client:
            texts = [(await client.ask("How long?").result()).text for _ in range(3)]
            assert client.violations == []
            return "".join(texts)

    assert await asyncio.gather(*map(talk, sessions)) == ["Twelve months." * 3] * 4
