"""What a turn knows of its conversation: the exchanges before it, their summary, and whom it answers."""

from dataclasses import dataclass

from psycopg.rows import DictRow

from domain.generation import PromptMessage
from domain.ids import SessionId, TurnId
from domain.prompting.audience import Audience
from domain.prompting.configuration import RECALLED_FROM, RECENT
from domain.sealing import summary_place
from storage.keys import TenantCipher
from storage.postgres.sealed_columns import attributes_of, content_of

SUMMARIZED_FROM = 40
"""Exchanges that are looked at for a summary: there are fewer since the last one, unless none could be made."""
LIMITS = {"sliding": RECENT["sliding"], "summarized": SUMMARIZED_FROM, "recalled": RECALLED_FROM}
"""Turns above a turn that its history reaches to, by how its configuration remembers."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said above a turn on its branch."""

    history: tuple[PromptMessage, ...] = ()
    """Answered exchanges, oldest first: user, assistant, user, assistant …"""
    turns: tuple[TurnId, ...] = ()
    """Whose exchanges these are."""
    summary: str = ""
    """Of what was said before them."""
    summarized_to: TurnId | None = None
    """The turn that the summary reaches to."""


def said_of(cipher: TenantCipher, session_id: SessionId, rows: list[DictRow]) -> Said:
    """From rows of `history`. Turns that were stopped before their first word are left out. Raises Unreadable."""
    found: list[tuple[TurnId, str, str]] = []
    for row in rows:
        if row["sealed_summary"] is not None:
            place = summary_place(session_id, row["turn_id"])
            return _said(found, cipher.open_text(place, row["sealed_summary"]), row["turn_id"])
        answer = content_of(cipher, session_id, row["answer_id"], row["sealed_answer"], row["answer"])
        if answer:
            question = content_of(cipher, session_id, row["question_id"], row["sealed_question"], row["question"])
            found.append((TurnId(row["turn_id"]), question, answer))
    return _said(found, "", None)


def audience_of(cipher: TenantCipher, row: DictRow) -> Audience:
    """From a row with `chatbot_name`, `locale`, `visitor_id` and `sealed_attributes`. Raises Unreadable."""
    attributes = attributes_of(cipher, row["visitor_id"], row["sealed_attributes"])
    return Audience(row["chatbot_name"], row["locale"], attributes)


def _said(newest_first: list[tuple[TurnId, str, str]], summary: str, reaches_to: TurnId | None) -> Said:
    messages = []
    for _, question, answer in reversed(newest_first):
        messages += [PromptMessage("user", question), PromptMessage("assistant", answer)]
    return Said(tuple(messages), tuple(turn for turn, *_ in reversed(newest_first)), summary, reaches_to)
