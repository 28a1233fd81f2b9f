"""The Python client against a scripted server: every way a connection can go, and the way back."""

import asyncio
from typing import Any

import pytest

from cluster.client import Backoff, ChatClient, ChatError, connection
from tests.fixtures.client_stage import AT_ONCE, BOT, MESSAGE, SESSION, TURN, USAGE, Peer, Stage
from tests.fixtures.conditions import eventually


async def idle(peer: Peer) -> None:
    await peer.ready()
    await peer.socket.wait_closed()


async def whole(peer: Peer) -> None:
    """Answer one question, and stay."""
    await peer.ready()
    await peer.question()
    await peer.event(1)
    await peer.done(2)
    await peer.socket.wait_closed()


async def cut(peer: Peer) -> None:
    """Half an answer, then the connection is gone."""
    await peer.ready()
    await peer.question()
    await peer.event(1)
    await peer.event(2)
    peer.socket.transport.abort()


async def rest(peer: Peer) -> None:
    await peer.ready(active_turn={"turn_id": TURN, "epoch": 1, "seq": 3})
    await peer.event(3)
    await peer.done(4)
    await peer.socket.wait_closed()


async def test_an_answer_and_everything_observed(stage: Stage) -> None:
    async with stage.client(whole) as client:
        assert client.ready["greeting"] == "Hello."
        answer = client.ask("How long?")
        result = await answer.result()
        assert [piece async for piece in answer] == ["1 "]
    assert (result.text, result.usage, result.message_id, result.model) == ("1 ", USAGE, MESSAGE, "m")
    names = [f"{kind} {fields['frame']['type']}" if "frame" in fields else kind for kind, fields in stage.seen]
    assert names[:3] == ["sent auth", "received ready", "connected"]
    assert names[3:] == ["sent message", "received ack", "received token", "received done"]


async def test_a_lost_connection_is_resumed_where_it_was(stage: Stage) -> None:
    async with stage.client(cut, rest) as client:
        result = await client.ask("How long?").result()
        assert result.text == "1 2 3 "
        assert client.violations == []
    assert "resume" not in stage.auths[0]
    assert stage.auths[1]["resume"] == {"turn_id": TURN, "seq": 2, "epoch": 1}
    assert stage.closes()[0] == 1006


async def test_a_question_is_sent_until_it_is_acknowledged(stage: Stage) -> None:
    asked = []

    async def deaf(peer: Peer) -> None:
        await peer.ready()
        asked.append((await peer.receive("message"))["id"])
        await peer.socket.close(1012)

    async def hears(peer: Peer) -> None:
        await peer.ready()
        frame = await peer.receive("message")
        asked.append(frame["id"])
        await peer.send("ack", id=frame["id"], message_id=MESSAGE, turn_id=TURN, duplicate=True)
        await peer.done(1)
        await peer.socket.wait_closed()

    async with stage.client(deaf, deaf, hears) as client:
        answer = client.ask("How long?")
        await answer.result()
    assert asked == [answer.id] * 3


async def test_a_client_that_drops_its_connection_comes_back(stage: Stage) -> None:
    async def half(peer: Peer) -> None:
        await peer.ready()
        await peer.question()
        await peer.event(1)
        await peer.event(2)
        await peer.socket.wait_closed()

    async with stage.client(half, rest) as client:
        answer = client.ask("How long?")
        await eventually(lambda: answer.text == "1 2 ")
        await client.disconnect()
        assert (await answer.result()).text == "1 2 3 "


async def test_the_server_says_how_long_to_stay_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(peer: Peer) -> None:
        await peer.send("error", code="quota_exceeded", message="Too many.", request_id="r", retry_after=3)
        await peer.socket.close(1013, "retry_after=3")

    waits: list[float] = []
    delay = Backoff.delay

    def noted(self: Backoff, attempt: int, at_least: float = 0.0) -> float:
        waits.append(delay(self, attempt, at_least))
        return 0.0

    monkeypatch.setattr(Backoff, "delay", noted)
    async with stage.client(full, idle, backoff=Backoff(random=lambda: 1.0)):
        assert waits == [3.25]


@pytest.mark.parametrize(("code", "name"), [(4401, "not_authenticated"), (4404, "not_found"), (1008, "policy")])
async def test_some_closes_are_final(stage: Stage, code: int, name: str) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.socket.close(code)

    with pytest.raises(ChatError) as caught:
        async with stage.client(refuse):
            pass
    assert caught.value.code == name
    assert len(stage.auths) == 1


async def test_a_final_close_fails_the_answers_with_what_the_server_said(stage: Stage) -> None:
    async def expire(peer: Peer) -> None:
        await peer.ready()
        await peer.question()
        await peer.send("error", code="not_authenticated", message="It has expired.", request_id="r")
        await peer.socket.close(4401)

    async with stage.client(expire) as client:
        with pytest.raises(ChatError, match="It has expired"):
            await client.ask("How long?").result()
        with pytest.raises(ChatError, match="It has expired"):
            await client.ask("And now?").result()


async def test_a_token_that_can_be_had_again_is_asked_for_every_connection(stage: Stage) -> None:
    tokens = iter(("old", "older", "new"))

    async def token() -> str:
        return next(tokens)

    async def refuse(peer: Peer) -> None:
        await peer.socket.close(4401)

    async with stage.client(refuse, refuse, idle, token=token):
        assert [auth["token"] for auth in stage.auths] == ["old", "older", "new"]


async def test_a_token_that_is_refused_again_and_again_is_final(stage: Stage) -> None:
    async def token() -> str:
        return "bad"

    async def refuse(peer: Peer) -> None:
        await peer.socket.close(4401)

    with pytest.raises(ChatError, match="Sign in again"):
        async with stage.client(refuse, token=token):
            pass
    assert len(stage.auths) == 4


async def test_the_client_moves_before_the_server_closes(stage: Stage) -> None:
    moved = asyncio.Event()

    async def leaving(peer: Peer) -> None:
        await peer.ready()
        await peer.question()
        await peer.event(1)
        await peer.send("reconnect", within_seconds=30)
        await moved.wait()
        # Until it is left it still tells the turn; so does the other one.
        await peer.event(2)
        await peer.socket.wait_closed()
        assert peer.socket.close_code == 1000

    async def successor(peer: Peer) -> None:
        assert peer.auth["resume"]["seq"] == 1
        await peer.ready(active_turn={"turn_id": TURN, "epoch": 1, "seq": 2})
        moved.set()
        await peer.event(2)
        await peer.event(3)
        await peer.done(4)
        await peer.socket.wait_closed()

    async with stage.client(leaving, successor) as client:
        result = await client.ask("How long?").result()
        assert (result.text, client.violations) == ("1 2 3 ", [])
    assert len(stage.auths) == 2


async def test_a_move_that_fails_leaves_the_old_connection_alone(stage: Stage) -> None:
    refused = asyncio.Event()

    async def leaving(peer: Peer) -> None:
        await peer.ready()
        await peer.send("reconnect", within_seconds=0)
        await refused.wait()
        await peer.question()
        await peer.event(1)
        await peer.event(2)
        await peer.socket.close(1012)

    async def full(peer: Peer) -> None:
        await peer.socket.close(1013)
        refused.set()

    async with stage.client(leaving, full, rest) as client:
        assert (await client.ask("How long?").result()).text == "1 2 3 "


async def test_what_is_wrong_is_noted_and_what_is_new_is_not(stage: Stage) -> None:
    async def odd(peer: Peer) -> None:
        await peer.ready()
        await peer.question()
        await peer.send("confetti", colour="red")
        await peer.send("pong")
        await peer.socket.send("no frame")
        await peer.event(1)
        await peer.event(3)
        await peer.done(4)
        await peer.socket.wait_closed()

    async with stage.client(odd) as client:
        assert (await client.ask("How long?").result()).text == "1 3 "
        assert [violation.reason for violation in client.violations] == [
            "not a frame of the protocol: ValidationError",
            "not a frame of the protocol: JSONDecodeError",
            "event 3 after event 1",
        ]
        told = [fields["error"] for kind, fields in stage.seen if kind == "violation"]
        assert told == client.violations


async def test_a_silent_connection_is_asked_and_then_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(connection, "PING_SECONDS", 0.05)
    pinged = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.ready()
        await peer.receive("ping")
        pinged.set()
        await peer.socket.wait_closed()

    async def lively(peer: Peer) -> None:
        await peer.ready()
        for _ in range(3):
            await peer.send("pong", nonce=(await peer.receive("ping"))["nonce"])
        await peer.question()
        await peer.done(1)
        await peer.socket.wait_closed()

    async with stage.client(silent, lively) as client:
        await eventually(lambda: len(stage.auths) == 2)
        assert pinged.is_set()
        assert stage.closes() == [1006]
        await eventually(lambda: sum(fields.get("frame", {}).get("type") == "pong" for _, fields in stage.seen) == 3)
        await client.ask("How long?").result()


async def test_nobody_there(stage: Stage) -> None:
    client = ChatClient("http://127.0.0.1:9", "t", BOT, SESSION, backoff=AT_ONCE, connect_seconds=0.2)
    with pytest.raises(ChatError) as caught:
        await client.__aenter__()
    assert caught.value.code == "unavailable"


async def test_leaving_fails_what_is_still_awaited(stage: Stage) -> None:
    async with stage.client(idle) as client:
        answer = client.ask("How long?")
    with pytest.raises(ChatError) as caught:
        await answer.result()
    assert caught.value.code == "closed"


async def test_a_fault_of_the_observer_ends_the_client_and_is_told(stage: Stage) -> None:
    def observe(kind: str, fields: dict[str, Any]) -> None:
        if kind == "received" and fields["frame"]["type"] == "ack":
            raise ZeroDivisionError

    client = await stage.client(whole, observe=observe).__aenter__()
    with pytest.raises(ChatError, match="ZeroDivisionError"):
        await client.ask("How long?").result()
    with pytest.raises(ZeroDivisionError):
        await client.__aexit__()
