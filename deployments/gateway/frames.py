"""The only place where events of a turn become frames of the chat protocol."""

from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from typing import Any
from uuid import UUID

from domain.errors import AppError
from domain.wire import ErrorFrame, PongFrame, ReadyFrame, ReconnectFrame

Event = dict[str, Any]
_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens")


def frame_of(event: Event, request_id: str) -> str:
    """The frame of an event as JSON. Tokens are most of the traffic and are written without a model.

    Raises KeyError or ValueError for an event that the protocol does not have.
    """
    kind = event["k"]
    if kind == "token":
        first = f',"first_seq":{event["first"]:d}' if "first" in event else ""
        head = f'{{"type":"token","turn_id":"{event["turn"]}","epoch":{event["epoch"]:d},"seq":{event["seq"]:d}{first}'
        return f'{head},"text":{quoted(event["text"])}}}'
    return dumps(_fields(kind, event, request_id), separators=(",", ":"))


def _fields(kind: str, event: Event, request_id: str) -> dict[str, Any]:
    if kind == "ack":
        return {
            "type": kind,
            "id": event["client_id"],
            "message_id": event["message_id"],
            "turn_id": event["turn"],
            "duplicate": event["duplicate"],
        }
    turn = {"type": kind, "turn_id": event["turn"], "epoch": event["epoch"], "seq": event["seq"]}
    if kind == "status":
        return {**turn, "stage": event["stage"], "position": event.get("position")}
    if kind == "gap":
        return {**turn, "text": event["text"]}
    if kind == "citations":
        return {**turn, "citations": event["citations"]}
    if kind == "done":
        usage = dict(zip(_USAGE, event["usage"], strict=True))
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        fields = {name: event[name] for name in ("message_id", "state", "model")}
        return {**turn, **fields, "usage": usage, "guard": event.get("guard"), "cached": event.get("cached")}
    if kind == "error":
        return {
            **turn,
            "code": event["code"],
            "message": event["message"],
            "request_id": request_id,
            "id": None,
            "retry_after": None,
        }
    raise ValueError(f"there is no frame for an event of kind {kind!r}")


def merged(earlier: Event, later: Event) -> Event | None:
    """Two token events of a turn as one, or None when they cannot be."""
    if earlier["k"] != "token" or later["k"] != "token" or earlier["turn"] != later["turn"]:
        return None
    if earlier["epoch"] != later["epoch"]:
        return None
    first = earlier.get("first", earlier["seq"])
    return {**later, "first": first, "text": earlier["text"] + later["text"]}


def ready_frame(info: Event, session_id: str) -> str:
    """From a session host's answer to `open_session`."""
    return ReadyFrame(
        session_id=UUID(session_id),
        chatbot_id=info["chatbot_id"],
        chatbot_name=info["chatbot_name"],
        greeting=info["greeting"],
        active_turn=info["active_turn"],
        undelivered=info["undelivered"],
        consent=info.get("consent"),
    ).model_dump_json()


def error_frame(error: AppError, request_id: str, *, message_id: str | None = None, turn_id: str | None = None) -> str:
    return ErrorFrame(
        code=error.code,
        message=error.message,
        request_id=request_id,
        id=message_id,
        turn_id=UUID(turn_id) if turn_id else None,
        retry_after=error.retry_after,
    ).model_dump_json()


def reconnect_frame(within_seconds: float) -> str:
    return ReconnectFrame(within_seconds=within_seconds).model_dump_json()


def pong_frame(nonce: str) -> str:
    return PongFrame(nonce=nonce).model_dump_json()
