"""What a gateway asks of a session host, as it comes over the stream."""

from typing import Any
from uuid import UUID

from domain.conversation import Question
from domain.errors import InvalidInput
from domain.ids import MessageId, SessionId, TurnId
from domain.prompting.audience import locale_of


def uuid_of(value: Any) -> UUID:
    """Raises InvalidInput."""
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidInput("An identifier is not valid.") from None


def session_of(payload: dict[str, Any]) -> SessionId:
    return SessionId(uuid_of(payload["session_id"]))


def question_of(payload: dict[str, Any]) -> Question:
    edits, regenerates = payload.get("edits"), payload.get("regenerates")
    return Question(
        client_id=str(payload["client_id"]),
        text=str(payload.get("text", "")),
        edits=MessageId(uuid_of(edits)) if edits else None,
        regenerates=TurnId(uuid_of(regenerates)) if regenerates else None,
        locale=locale_of(str(payload.get("locale", ""))),
    )
