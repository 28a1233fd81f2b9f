"""Middleware that reads small bodies whole, so that one too large is refused before anything parses it."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.gateway.errors import error_response, request_id_in
from domain.errors import InvalidInput, TooLarge


class BodyLimit:
    """Bodies over `limit` bytes get 413, also chunked ones; paths under `streamed` check their own."""

    def __init__(self, app: ASGIApp, limit: int, streamed: tuple[str, ...]) -> None:
        self._app = app
        self._limit = limit
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] == "POST" and scope["path"].startswith(self._streamed)):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            await error_response(InvalidInput("Content-Length must be a number."), request_id_in(scope))(
                scope, receive, send
            )
            return
        body = None if int(length) > self._limit else await self._read(receive)
        if body is None:
            error = TooLarge(f"The body is larger than {self._limit:,} bytes.")
            await error_response(error, request_id_in(scope))(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

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
