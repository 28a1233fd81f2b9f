"""An evaluation of one configuration on one question set: what is asked, how far it is, and what came out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.chatbot import ChatbotConfig
from domain.evaluation import Summary
from domain.ids import ChatbotId, EvaluationId, QuestionSetId, TenantId

MOST_OPEN = 10
"""Evaluations of one tenant that wait or run."""


class Mode(StrEnum):
    RETRIEVAL = "retrieval"
    """Only what is found; no model is asked."""
    ANSWERS = "answers"
    """Whole turns, as visitors get them."""


class RunState(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (RunState.REQUESTED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Evaluation:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: EvaluationId
    question_set_id: QuestionSetId | None
    """None when the set was deleted since."""
    revision: int
    """Of the set, when it was asked."""
    mode: Mode
    version: int | None
    """Of the configuration; None for a draft."""
    config: ChatbotConfig
    knowledge: str
    """Differs when the bot's documents have changed in between."""
    state: RunState
    reason: str | None
    """Why it failed, a sentence for the user."""
    attempts: int
    questions: int
    done: int
    summary: Summary | None
    requested_by: str
    """`user:<id>` or `api_key:<id>`."""
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
