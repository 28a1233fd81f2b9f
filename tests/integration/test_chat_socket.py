"""The chat socket through a real uvicorn: the protocol, its errors, its limits, and clients that go away."""

import asyncio
import json
from uuid import uuid4

import pytest

from domain.conversation import Question
from domain.errors import EngineFailed, QuotaExceeded
from domain.ids import MessageId, TurnId
from domain.wire import MAX_FRAME_BYTES
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, ask
from tests.fixtures.stored_turns import store_turn


async def test_a_question_is_acknowledged_and_answered_in_order(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=chat.tenant.grant["access_token"])
        ready = await client.expect("ready")
        assert (ready["chatbot_id"], ready["session_id"]) == (chat.bot, chat.session)
        assert ready["active_turn"] is None
        client_id = await ask(client, "How long is the warranty?")
        frames = await client.until("done")
        ack, *events = frames
        assert (ack["type"], ack["id"], ack["duplicate"]) == ("ack", client_id, False)
        assert "".join(frame["text"] for frame in events if frame["type"] == "token") == "Twelve months."
        assert events[-2]["citations"][0]["page"] == 2
        assert events[-1]["usage"] == {
            "prompt_tokens": 100,
            "completion_tokens": 3,
            "cached_tokens": 20,
            "total_tokens": 103,
        }
        numbers = [n for frame in events for n in range(frame.get("first_seq") or frame["seq"], frame["seq"] + 1)]
        assert numbers == list(range(1, 8))
        await client.send(type="ping", nonce="n1")
        assert (await client.expect("pong"))["nonce"] == "n1"
    assert socket_rig.rig.conversations.stored == {client_id: "How long is the warranty?"}
    await eventually(lambda: socket_rig.rig.services.census.total == 0)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "7",
        "null",
        "[" * 50_000,
        '{"type": "dance"}',
        '{"type": "ping", "extra": 1}',
        '{"type": "message", "id": "no-uuid", "text": "x"}',
        json.dumps({"type": "message", "id": str(uuid4()), "text": ""}),
        json.dumps({"type": "message", "id": str(uuid4()), "text": "nul \x00"}),
        f'{{"type": "message", "id": "{uuid4()}", "text": "\\ud800"}}',
        json.dumps({"type": "message", "id": str(uuid4()), "text": "x" * 16_001}),
        '{"type": "\\ud800"}',
        '{"type": "ping", "\\ud800": 1}',
        b"\x00\x01",
    ],
)
async def test_a_bad_frame_is_an_error_on_a_socket_that_stays_open(
    socket_rig: SocketRig, chat: Chat, text: str | bytes
) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await client.connection.send(text)
        assert (await client.expect("error"))["code"] == "invalid_frame"
        await ask(client)
        assert (await client.until("done"))[0]["type"] == "ack"


async def test_a_frame_too_large_is_an_error(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await client.connection.send('{"type": "ping", "nonce": "' + "é" * (MAX_FRAME_BYTES // 2) + '"}')
        assert (await client.expect("error"))["code"] == "too_large"
        await client.send(type="ping")
        await client.expect("pong")


async def test_nothing_is_taken_before_auth_and_the_deadline_closes(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    object.__setattr__(rig.services, "settings", rig.services.settings.model_copy(update={"socket_auth_seconds": 0.3}))
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        client_id = await ask(client)
        error = await client.expect("error")
        assert (error["code"], error["id"]) == ("not_authenticated", client_id)
        assert (await client.expect("error"))["code"] == "not_authenticated"
        assert await client.closed() == 4401
    assert rig.conversations.asked == 0


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 8_192])
async def test_a_token_that_is_not_ours_closes(socket_rig: SocketRig, chat: Chat, token: str) -> None:
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=token)
        assert (await client.expect("error"))["code"] == "not_authenticated"
        assert await client.closed() == 4401


async def test_a_second_auth_is_an_error(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await client.send(type="auth", token=chat.tenant.grant["access_token"])
        assert (await client.expect("error"))["code"] == "already_authenticated"
        await client.send(type="ping")
        await client.expect("pong")


async def test_sessions_of_others_and_unknown_ones_are_not_found(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    stranger = await rig.register()
    other_bot = await chat.tenant.new_bot()
    cases = [
        (stranger, chat.bot, chat.session),
        (chat.tenant, other_bot, chat.session),
        (chat.tenant, chat.bot, str(uuid4())),
        (chat.tenant, chat.bot, "no-uuid"),
    ]
    for tenant, bot, session in cases:
        async with await socket_rig.connect(bot, session) as client:
            await client.send(type="auth", token=tenant.grant["access_token"])
            assert (await client.expect("error"))["code"] == "not_found"
            assert await client.closed() == 4404


async def test_a_message_while_a_turn_runs_is_refused_and_says_which(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client)
        await client.until("token")
        second = await ask(client, "And then?")
        error = (await client.until("error"))[-1]
        assert (error["code"], error["id"]) == ("turn_running", second)
        await client.send(type="stop")
        done = (await client.until("done"))[-1]
        assert done["state"] == "stopped"
    assert rig.conversations.stopped == [None]


async def test_a_turn_that_fails_is_an_error_of_its_turn(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    rig.conversations.failure = EngineFailed()
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client)
        frames = await client.until("error")
        assert (frames[-1]["code"], frames[-1]["turn_id"]) == ("engine_failed", frames[0]["turn_id"])
        rig.conversations.failure = None
        rig.conversations.refusal = QuotaExceeded()
        refused = await ask(client)
        error = await client.expect("error")
        assert (error["code"], error["id"], error["turn_id"]) == ("quota_exceeded", refused, None)


async def test_a_client_that_comes_back_gets_the_rest_once(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client:
        client_id = await ask(client)
        frames = await client.until("token")
        ack, last = frames[0], frames[-1]
        client.connection.transport.abort()
    resume = {"turn_id": last["turn_id"], "seq": last["seq"], "epoch": last["epoch"]}
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=chat.tenant.grant["access_token"], resume=resume)
        ready = await client.expect("ready")
        assert ready["active_turn"] == {"turn_id": ack["turn_id"], "epoch": 1, "seq": 5}
        # The question sent again makes no second turn and brings no event twice.
        await client.send(type="message", id=client_id, text="How long?")
        again = (await client.until("ack"))[-1]
        assert (again["turn_id"], again["duplicate"]) == (ack["turn_id"], True)
        rig.conversations.may_end.set()
        rest = await client.until("done")
        assert rest[-1]["seq"] == 7
        assert len(rig.conversations.turns) == 1
        await client.send(type="ping")
        await client.expect("pong")


async def test_events_of_an_earlier_epoch_are_replaced_by_a_gap(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client:
        await ask(client)
        turn = (await client.until("token"))[-1]["turn_id"]
    async with await socket_rig.ready(*chat.where, resume={"turn_id": turn, "seq": 4, "epoch": 0}) as client:
        gap = await client.expect("gap")
        assert (gap["text"], gap["seq"], gap["epoch"]) == ("Twelve months.", 5, 1)
        rig.conversations.may_end.set()
        assert (await client.until("done"))[-1]["seq"] == 7


async def test_a_question_may_edit_an_earlier_one_or_ask_for_another_answer(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    message, turn, again = uuid4(), uuid4(), str(uuid4())
    async with await socket_rig.ready(*chat.where) as client:
        edited = await ask(client, "How long, exactly?", edits=str(message))
        await client.until("done")
        await client.send(type="regenerate", id=again, turn_id=str(turn))
        assert (await client.until("done"))[0]["id"] == again
    assert rig.conversations.questions == {
        edited: Question(edited, "How long, exactly?", edits=MessageId(message)),
        again: Question(again, regenerates=TurnId(turn)),
    }


@pytest.mark.parametrize("turn", [None, str(uuid4())])
async def test_stopping_what_does_not_run_is_an_error(socket_rig: SocketRig, chat: Chat, turn: str | None) -> None:
    async with await socket_rig.ready(*chat.where) as client:
        await client.send(type="stop", turn_id=turn)
        error = await client.expect("error")
        assert (error["code"], error["turn_id"]) == ("turn_not_running", turn)


async def test_an_answer_is_undelivered_until_the_client_says_otherwise(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    answers = [await store_turn(rig, chat, "How long?") for _ in range(2)]

    async def undelivered() -> list[tuple[str, str]]:
        async with await socket_rig.connect(chat.bot, chat.session) as other:
            await other.send(type="auth", token=chat.tenant.grant["access_token"])
            ready = await other.expect("ready")
            return [(item["turn_id"], item["message_id"]) for item in ready["undelivered"]]

    assert await undelivered() == [(stored.turn, stored.answer) for stored in answers]
    async with await socket_rig.ready(*chat.where) as client:
        await client.send(type="delivered", message_id=answers[0].answer)
        async with asyncio.timeout(10):
            while len(await undelivered()) > 1:
                pass
        assert (await undelivered())[0][0] == answers[1].turn


async def test_a_visitor_opens_their_own_sessions_only(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    async def visitor() -> str:
        answer = await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    async def code(token: str, bot: str, session: str) -> str:
        async with await socket_rig.connect(bot, session) as client:
            await client.send(type="auth", token=token)
            frame = await client.receive()
            if frame["type"] == "error":
                assert await client.closed() == 4404
            return str(frame.get("code", "ready"))

    mine, other = await visitor(), await visitor()
    headers = {"Authorization": f"Bearer {mine}"}
    session = (await rig.http.post(f"/chatbots/{chat.bot}/sessions", headers=headers)).json()["id"]
    assert await code(mine, chat.bot, session) == "ready"
    assert await code(other, chat.bot, session) == "not_found"
    assert await code(mine, chat.bot, chat.session) == "not_found"
    assert await code(chat.tenant.grant["access_token"], chat.bot, session) == "ready"


async def test_an_unknown_turn_cannot_be_resumed(socket_rig: SocketRig, chat: Chat) -> None:
    turn = str(uuid4())
    async with await socket_rig.ready(*chat.where, resume={"turn_id": turn, "seq": 3}) as client:
        error = await client.expect("error")
        assert (error["code"], error["turn_id"]) == ("not_found", turn)
        await client.send(type="ping")
        await client.expect("pong")


async def test_a_client_that_leaves_before_the_ack_still_has_its_question_stored(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_store.clear()
    client = await socket_rig.ready(*chat.where)
    client_id = await ask(client)
    await eventually(lambda: rig.conversations.asked == 1)
    client.connection.transport.abort()
    await eventually(lambda: rig.services.census.total == 0)
    rig.conversations.may_store.set()
    await eventually(lambda: client_id in rig.conversations.stored)
    await eventually(lambda: all(turn.ended for turn in rig.conversations.turns.values()))
