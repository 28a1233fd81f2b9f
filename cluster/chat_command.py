"""`loquent chat`: a conversation in the terminal, or one question from a pipe."""

import asyncio
import sys
import threading
import unicodedata
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import httpx
from rich.console import Console
from rich.status import Status

from cluster.chat_account import ChatAccount
from cluster.client import Answer, AnswerResult, ChatClient, ChatError
from cluster.embedded.process import SetupError
from configs.settings import DEMO_EMAIL, DEMO_PASSWORD
from domain.conversation import MAX_MESSAGE_CHARS

HTTP_SECONDS = 30.0
HELP = (
    "/new begins another session, /regenerate asks for another answer, /up and /down rate it, /quit ends. Ctrl-C stops."
)
_STAGES = {
    "queued": "in the queue",
    "retrieving": "reading the documents…",
    "starting": "starting the language model…",
    "generating": "writing…",
}
_Result = TypeVar("_Result")


class ChatTerminal:
    """One session at a time, shown on a console. Its methods raise ChatError and SetupError."""

    def __init__(self, url: str, email: str, password: str, console: Console) -> None:
        self._url = url
        self._console = console
        self._http = httpx.AsyncClient(base_url=url, timeout=HTTP_SECONDS)
        self._account = ChatAccount(self._http, email or DEMO_EMAIL, password or DEMO_PASSWORD)
        self._chatbot_id = ""
        self._session_id = ""
        self._client: ChatClient | None = None
        self._last: AnswerResult | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()
        await self._http.aclose()

    async def open(self, chatbot_id: str = "", session_id: str = "") -> None:
        """Begin with this session, or a new one, and say whose it is on a terminal."""
        await self._leave()
        self._chatbot_id = chatbot_id or self._chatbot_id or await self._account.find_chatbot()
        self._session_id = session_id or await self._account.new_session(self._chatbot_id)
        client = ChatClient(self._url, self._account.token, self._chatbot_id, self._session_id)
        self._client, self._last = await client.__aenter__(), None
        if self._console.is_terminal:
            self._console.print(
                f"[bold]{_plain(client.ready['chatbot_name'])}[/bold]  [dim]{HELP}[/dim]", highlight=False
            )
            self._write(client.ready["greeting"] + "\n")

    async def ask(self, text: str) -> AnswerResult:
        """Ask, show the answer as it comes, and tell that it was shown."""
        try:
            answer = self._present().ask(text)
        except ValueError:
            raise SetupError(f"A question has 1 to {MAX_MESSAGE_CHARS:,} characters.") from None
        return await self._show(answer)

    async def regenerate(self) -> AnswerResult:
        return await self._show(self._present().regenerate(self._answered().turn_id))

    async def stop(self) -> None:
        await self._present().stop()

    async def rate(self, rating: str) -> None:
        await self._account.rate(self._chatbot_id, self._session_id, self._answered().message_id, rating)
        self._console.print("[dim]Noted.[/dim]")

    async def _show(self, answer: Answer) -> AnswerResult:
        shown = await self._stream(answer) if self._console.is_terminal else ""
        result = await answer.result()
        if result.text != shown:
            # On a terminal: the server kept another text than it streamed, and what is stored counts.
            self._write(f"{result.text}\n")
        for citation in result.citations:
            page = f" p. {citation['page']}" if citation["page"] is not None else ""
            self._write(f"[{citation['position']}] {citation['document_name']}{page}\n")
        if result.state != "completed":
            note = "(stopped)" if result.state == "stopped" else "(cut short by a failure)"
            self._console.print(note, style="dim", highlight=False)
        self._last = result
        await self._present().delivered(result.message_id)
        return result

    async def _stream(self, answer: Answer) -> str:
        """Show the text as it comes; what was shown."""
        shown = ""
        with self._console.status("sending…") as status:
            await _until_text(answer, status)
        try:
            async for piece in answer:
                self._write(piece)
                shown += piece
        finally:
            if shown:
                self._write("\n")
        return shown

    def _write(self, text: str) -> None:
        self._console.print(_plain(text), end="", markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _present(self) -> ChatClient:
        if self._client is None:
            raise SetupError("There is no session; /new begins one.")
        return self._client

    def _answered(self) -> AnswerResult:
        if self._last is None:
            raise SetupError("There is no answer yet.")
        return self._last

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__()


def run_chat(url: str, chatbot_id: str, session_id: str, email: str, password: str, console: Console) -> None:
    """Converse on a terminal, or answer the question of a pipe. Raises SetupError."""
    if sys.stdin.isatty():
        converse(ChatTerminal(url, email, password, console), chatbot_id, session_id, console)
        return
    question = sys.stdin.read().strip()
    if not question:
        raise SetupError("There is no question on the standard input.")
    asyncio.run(ask_once(ChatTerminal(url, email, password, console), chatbot_id, session_id, question))


async def ask_once(terminal: ChatTerminal, chatbot_id: str, session_id: str, question: str) -> None:
    """Show the answer to one question. Raises SetupError."""
    async with terminal:
        try:
            await terminal.open(chatbot_id, session_id)
            await terminal.ask(question)
        except ChatError as error:
            raise SetupError(error.message) from error


def converse(terminal: ChatTerminal, chatbot_id: str, session_id: str, console: Console) -> None:
    """Read lines until the end. Raises SetupError when there is no session to begin with."""
    import readline  # noqa: F401 - gives `input` editing and a history

    with _Background() as background:
        try:
            background.run(terminal.open(chatbot_id, session_id))
            while _step(terminal, background, console):
                pass
        except ChatError as error:
            raise SetupError(error.message) from error
        finally:
            background.run(terminal.__aexit__())


def _step(terminal: ChatTerminal, background: "_Background", console: Console) -> bool:
    """Read and do one line; False at the end."""
    try:
        line = console.input("[bold cyan]> [/bold cyan]").strip()
    except (EOFError, KeyboardInterrupt):
        console.print()
        return False
    try:
        if line == "/quit":
            return False
        if line == "/new":
            background.run(terminal.open())
        elif line in ("/up", "/down"):
            background.run(terminal.rate(line[1:]))
        elif line == "/regenerate":
            _stoppable(terminal, background, background.start(terminal.regenerate()))
        elif line.startswith("/"):
            console.print(HELP, markup=False, highlight=False)
        elif line:
            _stoppable(terminal, background, background.start(terminal.ask(line)))
    except (ChatError, SetupError) as error:
        sentence = error.message if isinstance(error, ChatError) else str(error)
        console.print(f"[red]✗[/red] {_plain(sentence)}", highlight=False)
    return True


def _stoppable(terminal: ChatTerminal, background: "_Background", answer: "Future[AnswerResult]") -> None:
    """Wait for the answer; the first Ctrl-C stops it on the server, a second one waits no longer."""
    try:
        answer.result()
    except KeyboardInterrupt:
        background.run(terminal.stop())
        answer.result()


async def _until_text(answer: Answer, status: Status) -> None:
    while not answer.text and not answer.ended:
        view = answer.view
        if view is not None and view.stage is not None:
            place = f", place {view.position}" if view.position is not None else ""
            status.update(_STAGES.get(view.stage, view.stage) + place)
        await answer.changed()


def _plain(text: str) -> str:
    """Without control characters, which would be commands to the terminal."""
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) != "Cc")


class _Background:
    """An event loop in a thread of its own, so that the connection lives while the terminal waits for a line."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, _Result]) -> "Future[_Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return self.start(work).result()
