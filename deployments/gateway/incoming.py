"""What a client sends on a socket, made into frames of the protocol, with the reason when it is none."""

from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.types import Message

from domain.errors import AppError, TooLarge
from domain.wire import MAX_FRAME_BYTES, ClientFrame, client_frame


class InvalidFrame(AppError):
    status, code, default = 400, "invalid_frame", "The frame is not one of the protocol."


class AlreadyAuthenticated(AppError):
    status, code, default = 409, "already_authenticated", "This socket is signed in already."


def parse_frame(message: Message) -> ClientFrame:
    """Raises InvalidFrame or TooLarge; the socket survives both."""
    text: str | None = message.get("text")
    if text is None:
        raise InvalidFrame("Frames are text; binary messages are not part of the protocol.")
    if len(text) > MAX_FRAME_BYTES or (not text.isascii() and len(text.encode()) > MAX_FRAME_BYTES):
        raise TooLarge(f"A frame has at most {MAX_FRAME_BYTES:,} bytes.")
    try:
        return client_frame.validate_json(text)
    except ValidationError as error:
        raise InvalidFrame(_reason(error)) from None


def _reason(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return "The frame is not valid JSON."
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return "The frame's `type` is not one of auth, message, regenerate, stop, delivered and ping."
    place = ".".join(str(part) for part in first["loc"]).encode("utf-8", "replace").decode()[:100]
    reason = str(first["msg"]).removeprefix("Value error, ").encode("utf-8", "replace").decode()[:200]
    return f"{place or 'The frame'}: {reason}."


def origin_allowed(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """Whether a page of this origin may open sockets. Programs send no Origin; browsers cannot leave it out."""
    origin = headers.get("origin")
    if origin is None or origin in allowed:
        return True
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(host) and host.lower() == headers.get("host", "").lower()
