"""Cursors of lists that one id does not order: text for the client, a place in the list for us."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

from domain.conversation import Message, MessageRole
from domain.errors import InvalidInput
from domain.ids import MessageId, TurnId
from storage.postgres.feedback import RatedAnswer
from storage.postgres.messages import Place

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def cursor_of_message(message: Message) -> str:
    """A message is listed for a turn, so its place is the turn and whether it asks or answers."""
    return f"{message.turn_id}.{message.role}"


def place_of(cursor: str) -> Place:
    """Raises InvalidInput for what `cursor_of_message` did not make."""
    turn, _, role = cursor.partition(".")
    try:
        return Place(TurnId(UUID(turn)), MessageRole(role))
    except ValueError:
        _refuse()


def cursor_of_rating(rated: RatedAnswer) -> str:
    """The moment in microseconds, and the message for ratings of the same moment."""
    return f"{(rated.created_at - _EPOCH) // _MICROSECOND}.{rated.message_id}"


def moment_of(cursor: str) -> tuple[datetime, MessageId]:
    """Raises InvalidInput for what `cursor_of_rating` did not make."""
    microseconds, _, message = cursor.partition(".")
    try:
        return _EPOCH + int(microseconds) * _MICROSECOND, MessageId(UUID(message))
    except (ValueError, OverflowError):
        _refuse()


def _refuse() -> NoReturn:
    raise InvalidInput("The cursor is not one of this list.") from None
