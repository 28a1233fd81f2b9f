"""A turn as its question made it: what is read back to run it."""

from dataclasses import dataclass, field
from uuid import UUID

from domain.answer_form import AnswerForm
from domain.caching.scope import CacheScope, Versions
from domain.chatbot import ChatbotConfig
from domain.ids import ChatbotId, MessageId, SessionId, TurnId
from domain.knowledge import Knowledge
from domain.prompting.audience import Audience
from domain.turn import TurnInput
from storage.keys import TenantCipher
from storage.postgres.said import Said


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn that is stored, with what it takes to run it."""

    id: TurnId
    session_id: SessionId
    chatbot_id: ChatbotId
    epoch: int
    question: str
    config: ChatbotConfig
    said: Said
    """What was said above it on its branch."""
    audience: Audience
    knowledge: Knowledge
    """The generation of the bot's documents that is live."""
    visitor_id: UUID | None
    """Whose session it is, if it is a visitor's."""
    cipher: TenantCipher = field(repr=False, compare=False)
    """Seals what is kept of the running turn elsewhere."""
    versions: Versions | None = None
    """What a kept answer has to be of; None for a turn that needs a new one: an edit, asked again, taken
    over, or with a form."""
    visitor_name: str | None = None
    """The tenant's own name for who asks."""
    form: AnswerForm | None = None
    """What the answer has to be; None: text. Known only where the question was just taken."""
    formed: bool = False
    """Whether it has to be something else than text."""

    def with_model(self, model: str, cache: CacheScope | None, plan: str) -> TurnInput:
        """What runs it on a model that `config.model` stands for; `plan` is the key of the tenant's."""
        said = self.said
        return TurnInput(
            self.id,
            self.cipher.tenant_id,
            self.chatbot_id,
            self.config,
            model,
            self.question,
            said.history,
            self.knowledge,
            cache,
            str(self.session_id),
            plan,
            said.summary,
            self.audience,
            self.form,
        )


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
