"""Which answers are kept: whole ones of a model, with their sources, that no check has touched."""

from domain.caching.scope import KeptAnswer
from domain.conversation import TurnState
from domain.ids import SessionId
from domain.retrieval.configuration import Grounding
from domain.turn import AnswerEnded, TurnInput
from domain.words import words_of


def to_keep(turn: TurnInput, session_id: SessionId, ended: AnswerEnded) -> KeptAnswer | None:
    """None for what is not to be said again: cut short, refused, flagged, without an answer, or kept before."""
    if turn.cache is None or not turn.cache.may_keep or ended.cached is not None:
        return None
    if ended.state is not TurnState.COMPLETED or not ended.usage.completion_tokens:
        return None
    if any(note.outcome != "noted" for note in ended.guard.notes):
        return None
    if turn.config.retrieval.grounding is Grounding.DOCUMENTS and not ended.citations:
        return None
    said, nothing = " ".join(words_of(ended.answer)), " ".join(words_of(turn.config.no_answer))
    if not said or (nothing and nothing in said):
        return None
    return KeptAnswer(turn.question, ended.answer, ended.citations, ended.model, session_id)
