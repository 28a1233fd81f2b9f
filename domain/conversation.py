"""Sessions, messages, turns and citations."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, MessageId, SessionId, TenantId, TurnId

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
    citations: tuple[Citation, ...]
    usage: Usage | None
    created_at: datetime
