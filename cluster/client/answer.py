"""The answer to one question, as it comes, and the error that it may end with."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Self

from cluster.client.turn_view import Frame, TurnView


class ChatError(Exception):
    """Why there is no answer; `code` is one of the protocol's, `message` a sentence to show."""

    def __init__(self, code: str, message: str, retry_after: float | None = None, request_id: str = "") -> None:
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.request_id = request_id
        super().__init__(f"{code}: {message}")

    @classmethod
    def of(cls, frame: Frame) -> Self:
        return cls(frame["code"], frame["message"], frame.get("retry_after"), frame["request_id"])


@dataclass(frozen=True)
class AnswerResult:
    text: str
    citations: list[dict[str, Any]]
    """As in the `citations` frame."""
    usage: dict[str, int]
    """prompt_tokens, completion_tokens, cached_tokens, total_tokens: what was billed."""
    state: str
    """completed, stopped or interrupted."""
    model: str
    message_id: str
    turn_id: str
    seqs: int
    """How many events the turn had."""


class Answer:
    """Iterate it once for its pieces of text, or await its result. Both raise ChatError when there is none.

    Where the server replaced the text by another one, the pieces go on after it; `text` is always right.
    """

    def __init__(self, id: str) -> None:  # noqa: A002 - the protocol's word
        self.id = id
        self.text = ""
        self.turn_id: str | None = None
        self.error: ChatError | None = None
        self._view: TurnView | None = None
        self._replaced = 0
        self._changed = asyncio.Event()

    @property
    def view(self) -> TurnView | None:
        """What is known of the turn; None before its first event."""
        return self._view

    @property
    def ended(self) -> bool:
        return self.error is not None or (self._view is not None and self._view.ended)

    async def changed(self) -> None:
        """Returns at the next news: the acknowledgement, an event, the end."""
        await self._changed.wait()

    async def acknowledged(self) -> None:
        """Returns once the question is stored. Raises ChatError when it was refused."""
        while self.turn_id is None:
            if self.error is not None:
                raise self.error
            await self._changed.wait()

    async def result(self) -> AnswerResult:
        """The whole answer, once it has ended. Raises ChatError."""
        while not self.ended:
            await self._changed.wait()
        if self.error is not None:
            raise self.error
        view = self._view
        assert view is not None
        assert view.done is not None
        done = view.done
        return AnswerResult(
            text=view.text,
            citations=view.citations,
            usage=done["usage"],
            state=done["state"],
            model=done["model"],
            message_id=done["message_id"],
            turn_id=view.turn_id,
            seqs=view.seq,
        )

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[str, None]:
        told, replaced = 0, self._replaced
        while True:
            if replaced != self._replaced:
                replaced = self._replaced
                told = len(self.text) if told else 0
            if len(self.text) > told:
                piece = self.text[told:]
                told = len(self.text)
                yield piece
            elif self.ended:
                break
            else:
                await self._changed.wait()
        if self.error is not None:
            raise self.error

    def take_ack(self, turn_id: str) -> None:
        """For the client's session only, like the other `take_` methods."""
        self.turn_id = turn_id
        self._tell()

    def take_view(self, view: TurnView) -> None:
        if not view.text.startswith(self.text):
            self._replaced += 1
        self._view = view
        self.text = view.text
        if view.error is not None:
            self.error = ChatError.of(view.error)
        self._tell()

    def take_error(self, error: ChatError) -> None:
        if not self.ended:
            self.error = error
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
