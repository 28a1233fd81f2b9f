"""A turn as its question made it: what is read back to run it."""

from dataclasses import dataclass, field
from uuid import UUID

from domain.caching.scope import Versions
from domain.chatbot import ChatbotConfig
from domain.generation import PromptMessage
from domain.ids import ChatbotId, MessageId, SessionId, TurnId
from domain.knowledge import Knowledge
from storage.keys import TenantCipher


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn that is stored, with what it takes to run it."""

    id: TurnId
    session_id: SessionId
    chatbot_id: ChatbotId
    epoch: int
    question: str
    config: ChatbotConfig
    history: tuple[PromptMessage, ...]
    """The answered exchanges above it on its branch, oldest first: user, assistant, user, assistant …"""
    knowledge: Knowledge
    """The generation of the bot's documents that is live."""
    visitor_id: UUID | None
    """Whose session it is, if it is a visitor's."""
    cipher: TenantCipher = field(repr=False, compare=False)
    """Seals what is kept of the running turn elsewhere."""
    versions: Versions | None = None
    """What a kept answer has to be of; None for a turn that needs a new one: an edit, asked again, or taken over."""
    visitor_name: str | None = None
    """The tenant's own name for who asks."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a question."""

    turn_id: TurnId
    message_id: MessageId
    plan: str
    is_open: bool
    """Whether the turn has no end yet."""
    turn: StoredTurn | None
    """None when this client id had made its turn before."""
