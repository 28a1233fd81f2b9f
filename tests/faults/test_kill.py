"""Processes of the running platform are killed; what was acknowledged is there, once, and the service comes back."""

import signal
import time
from collections.abc import Callable
from uuid import uuid4

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.fixtures.chat import Chat, OpenChat, make_bot, make_session
from tests.fixtures.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEAL_SECONDS = 90.0


def kill(platform: Platform, title: str) -> int:
    """SIGKILL every process below the installation whose title begins so; how many."""
    killed = 0
    for process in psutil.Process(platform.state()["pid"]).children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(title):
                process.send_signal(signal.SIGKILL)
                killed += 1
        except psutil.Error:
            continue
    return killed


def eventually(work: Callable[[], Chat]) -> Chat:
    """The first result of `work` that does not fail, until the deadline."""
    deadline = time.monotonic() + HEAL_SECONDS
    while True:
        try:
            return work()
        except (AssertionError, OSError, WebSocketException, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_killed_session_hosts_lose_nothing_that_was_acknowledged(
    platform: Platform, owner: httpx.Client, open_chat: OpenChat
) -> None:
    bot = make_bot(owner)
    session = make_session(owner, bot)
    chat = open_chat(owner, bot, session)
    chat.sign_in()
    chat.ask("Is anybody there?")
    assert kill(platform, "ray::SessionHost") >= 1
    # The same socket: the gateway finds the hosts again.
    message = {"type": "message", "id": str(uuid4()), "text": "And now?"}
    chat.send(message)
    frames = chat.until("done", "error")
    assert [frame["type"] for frame in frames if frame["type"] in ("ack", "done", "error")] == ["ack", "done"]
    history = owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()["items"]
    assert [m["content"] for m in history if m["role"] == "user"] == ["Is anybody there?", "And now?"]


def test_a_killed_gateway_comes_back_and_the_client_resumes(
    platform: Platform, owner: httpx.Client, open_chat: OpenChat
) -> None:
    bot = make_bot(owner)
    session = make_session(owner, bot)
    chat = open_chat(owner, bot, session)
    chat.sign_in()
    message = {"type": "message", "id": str(uuid4()), "text": "Is anybody there?"}
    chat.send(message)
    assert chat.receive()["type"] == "ack"
    assert kill(platform, "ray::ServeReplica:loquent:Gateway") == 1
    with pytest.raises(ConnectionClosed):
        chat.until("never")

    def come_back() -> Chat:
        again = open_chat(owner, bot, session)
        assert again.sign_in()["type"] == "ready"
        return again

    again = eventually(come_back)
    again.send(message)
    frames = again.until("done", "error")
    assert frames[0]["duplicate"]
    assert frames[-1]["type"] == "done"
    history = owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()["items"]
    assert [m["role"] for m in history] == ["user", "assistant"]
