"""`loquent chat` against the real gateway: a question from a pipe, and a conversation on a terminal."""

import asyncio
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import pytest

from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import PASSWORD, Chat, SocketRig

RunChat = Callable[..., Awaitable["Ended"]]


def options_of(socket_rig: SocketRig, chat: Chat) -> list[str]:
    url = f"http://127.0.0.1:{socket_rig.port}"
    return ["chat", "--url", url, "--email", chat.tenant.email, "--password", PASSWORD]


@dataclass
class Ended:
    exit_code: int | None
    output: str


@pytest.fixture
def run_chat(socket_rig: SocketRig, chat: Chat) -> RunChat:
    """Runs the command in a process of its own, with the question in a pipe."""

    async def run(question: str, *more: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cluster", *options_of(socket_rig, chat), *more,
            stdin=PIPE, stdout=PIPE, env={**os.environ, "COLUMNS": "300"},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(question.encode()), 60)
        return Ended(process.returncode, output.decode())

    return run


async def test_a_question_from_a_pipe(socket_rig: SocketRig, chat: Chat, run_chat: RunChat) -> None:
    answer = await run_chat("How long?\n")
    assert (answer.exit_code, answer.output) == (0, "Twelve months.\n[1] manual.pdf p. 2\n")
    again = await run_chat("How long?", "--chatbot", chat.bot, "--session", chat.session)
    assert again.output == answer.output
    assert list(socket_rig.rig.conversations.stored.values()) == ["How long?"] * 2


async def test_nothing_that_a_terminal_obeys_is_printed(socket_rig: SocketRig, run_chat: RunChat) -> None:
    socket_rig.rig.conversations.words = ["\x1b[2J", "[bold]two[/bold]\n", "lines\x07"]
    assert (await run_chat("How long?")).output == "[2J[bold]two[/bold]\nlines\n[1] manual.pdf p. 2\n"


@pytest.mark.parametrize(
    ("question", "more", "sentence"),
    [
        ("", [], "no question"),
        ("x" * 16_001, [], "16,000 characters"),
        ("How long?", ["--password", "a wrong one"], "password is wrong"),
        ("How long?", ["--session", "00000000-0000-7000-8000-000000000000"], "no such session"),
        ("How long?", ["--url", "http://127.0.0.1:9"], "does not answer"),
    ],
)
async def test_without_an_answer_it_says_why_and_ends_with_1(
    run_chat: RunChat, question: str, more: list[str], sentence: str
) -> None:
    refused = await run_chat(question, *more)
    assert refused.exit_code == 1, refused.output
    assert sentence in refused.output


class Terminal:
    """The command on a pseudo terminal; `text` is all it has shown."""

    def __init__(self, arguments: list[str]) -> None:
        self.text = ""
        self._ours, theirs = pty.openpty()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        self._theirs = theirs
        self._arguments = arguments

    async def __aenter__(self) -> Self:
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cluster", *self._arguments,
            stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, env=environment,
        )  # fmt: skip
        os.close(self._theirs)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)

    async def say(self, line: str, then: str) -> str:
        """Type a line, and wait until `then` is shown after it; what was shown."""
        start = len(self.text)
        os.write(self._ours, f"{line}\n".encode())
        await self.shows(then, start)
        return self.text[start:]

    async def shows(self, sentence: str, start: int = 0) -> None:
        try:
            await eventually(lambda: sentence in self.text[start:])
        except TimeoutError:
            raise AssertionError(f"{sentence!r} was not shown:\n{self.text}") from None

    def _read(self) -> None:
        # The kernel tells the end of the other side as an input error.
        with suppress(OSError):
            self.text += os.read(self._ours, 65_536).decode("utf-8", "replace")


@pytest.mark.slow
async def test_a_conversation_on_a_terminal(socket_rig: SocketRig, chat: Chat) -> None:
    twin = socket_rig.rig.conversations
    async with Terminal(options_of(socket_rig, chat)) as terminal:
        await terminal.shows("> ")
        assert "Helper" in terminal.text
        await terminal.say("/up", "no answer yet")
        shown = await terminal.say("How long?", "[1] manual.pdf p. 2")
        assert "Twelve months." in shown
        await terminal.say("/regenerate", "[1] manual.pdf p. 2")
        assert twin.asked == 2
        twin.may_end.clear()
        await terminal.say("And then?", "Twelve months.")
        terminal.process.send_signal(signal.SIGINT)
        await terminal.shows("(stopped)")
        await terminal.say("/new", "Helper")
        await terminal.say("/help", "/regenerate asks")
        os.write(terminal._ours, b"/quit\n")
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
