"""Sessions, messages, turns and citations."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.answer_form import AnswerForm
from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, MessageId, SessionId, TenantId, TurnId, VisitorId

MAX_MESSAGE_CHARS = 16_000


class MessageRole(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class TurnState(StrEnum):
    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self not in (TurnState.ACCEPTED, TurnState.RUNNING)


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks. Exactly one of text and `regenerates`; `edits` goes with a text."""

    client_id: str
    """Chosen by the client: asking again under the same id never makes a second turn."""
    text: str = ""
    edits: MessageId | None = None
    """The user's earlier message that the text replaces, in a branch of its own."""
    regenerates: TurnId | None = None
    """The turn whose question is answered again, in a branch beside it."""
    locale: str = ""
    """The language tag that the client sent, or nothing."""
    form: AnswerForm | None = None
    """What the answer has to be; None: text."""


@dataclass(frozen=True, slots=True)
class Feedback:
    rating: Rating
    comment: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Citation:
    position: int
    """1-based, in the order shown to the reader."""
    document_id: DocumentId
    document_name: str
    page: int | None
    section: str | None
    start: int
    end: int
    """Character span in the parsed text of the document."""
    snippet: str


@dataclass(frozen=True, slots=True)
class Session:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: SessionId
    title: str
    visitor_id: VisitorId | None
    """Whose session it is; None for the tenant's own people."""
    head_turn_id: TurnId | None
    """The last turn of the branch that a new question continues."""
    closed_at: datetime | None
    """A closed session takes no more questions."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    id: MessageId
    session_id: SessionId
    turn_id: TurnId
    role: MessageRole
    content: str
    client_id: str | None
    state: TurnState
    """Of the turn the message belongs to."""
    parent_turn_id: TurnId | None
    versions: tuple[TurnId, ...]
    """All turns with the same parent, oldest first, this one among them: the branches that begin here."""
    citations: tuple[Citation, ...]
    usage: Usage | None
    feedback: Feedback | None
    delivered_at: datetime | None
    created_at: datetime
    withheld: bool = False
    """A reviewer took it out of the conversation: `content` is empty."""
