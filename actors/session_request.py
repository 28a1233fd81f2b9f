"""What a gateway asks of a session host, as it comes over the stream."""

from typing import Any
from uuid import UUID

from domain.answer_form import decode_form
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
    """Raises InvalidInput."""
    edits, regenerates = payload.get("edits"), payload.get("regenerates")
    try:
        form = decode_form(payload.get("form"))
    except (TypeError, ValueError):
        raise InvalidInput("The form of the answer is not valid.") from None
    return Question(
        client_id=str(payload["client_id"]),
        text=str(payload.get("text", "")),
        edits=MessageId(uuid_of(edits)) if edits else None,
        regenerates=TurnId(uuid_of(regenerates)) if regenerates else None,
        locale=locale_of(str(payload.get("locale", ""))),
        form=form,
    )
