"""What becomes of a turn whose process died, by the events that it had shown."""

from collections.abc import Sequence

from actors.live_turn import Event
from domain.conversation import TurnState
from domain.errors import AppError, EngineFailed
from domain.generation import Usage
from domain.turn import AnswerEnded


def outcome_of(events: Sequence[Event], model: str, restart: bool) -> AnswerEnded | AppError | None:
    """None when the turn runs again; otherwise its end: what was streamed is kept, and billed.

    The prompt's tokens are those of the last generation that began, the answer's those of the text that was shown.
    """
    text = "".join(event["text"] for event in events if event["k"] == "token")
    if not text:
        return None if restart else EngineFailed("The answer was interrupted; ask again.")
    prompt = max((event.get("prompt", 0) for event in events if event["k"] == "status"), default=0)
    completion = sum(event["n"] for event in events if event["k"] == "token")
    return AnswerEnded(TurnState.INTERRUPTED, text, (), model, Usage(prompt, completion), "interrupted")
