"""The chat socket through a real uvicorn: the protocol, its errors, its limits, and clients that go away."""

import json
from uuid import uuid4

import pytest

from domain.errors import EngineFailed, QuotaExceeded
from domain.wire import MAX_FRAME_BYTES
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, ask


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
    resume = {"turn_id": last["turn_id"], "seq": last["seq"]}
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=chat.tenant.grant["access_token"], resume=resume)
        ready = await client.expect("ready")
        assert ready["active_turn"] == {"turn_id": ack["turn_id"], "seq": 5}
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


async def test_another_tab_follows_the_running_turn(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as first:
        await ask(first)
        turn = (await first.until("token"))[0]["turn_id"]
        async with await socket_rig.ready(*chat.where, resume={"turn_id": turn, "seq": 0}) as second:
            rig.conversations.may_end.set()
            seen = await second.until("done")
            assert "".join(frame.get("text", "") for frame in seen) == "Twelve months."
        await first.until("done")


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
