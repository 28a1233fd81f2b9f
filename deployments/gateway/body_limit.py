"""Middleware that reads small bodies whole: too large, or JSON of two meanings, is refused before it is parsed."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.gateway.errors import error_response, request_id_in
from deployments.gateway.json_body import check_body
from domain.errors import AppError, InvalidInput, TooLarge


class BodyLimit:
    """Bodies over `limit` bytes get 413, also chunked ones; POSTs to paths that `streamed` matches check their own.

    Paths under `raw` take bytes as they are: they are signed.
    """

    def __init__(self, app: ASGIApp, limit: int, streamed: re.Pattern[str], raw: tuple[str, ...]) -> None:
        self._app = app
        self._limit = limit
        self._streamed = streamed
        self._raw = raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] == "POST" and self._streamed.fullmatch(scope["path"])):
            await self._app(scope, receive, send)
            return
        try:
            messages = await self._checked(scope, receive)
        except AppError as error:
            await error_response(error, request_id_in(scope))(scope, receive, send)
            return
        await self._app(scope, _replay(messages, receive), send)

    async def _checked(self, scope: Scope, receive: Receive) -> list[Message]:
        """The messages of the body. Raises InvalidInput, TooLarge, UnsupportedMedia."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise InvalidInput("Content-Length must be a number.")
        messages = None if int(length) > self._limit else await self._read(receive)
        if messages is None:
            raise TooLarge(f"The body is larger than {self._limit:,} bytes.")
        if not scope["path"].startswith(self._raw):
            check_body(headers, b"".join(message.get("body", b"") for message in messages))
        return messages

    async def _read(self, receive: Receive) -> list[Message] | None:
        """The messages of the body, or None when it passes the limit."""
        size = 0
        messages: list[Message] = []
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] != "http.request":
                return messages
            size += len(message.get("body", b""))
            if size > self._limit:
                return None
            if not message.get("more_body", False):
                return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def next_message() -> Message:
        return next(waiting, None) or await receive()

    return next_message
