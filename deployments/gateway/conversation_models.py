"""The JSON shapes of sessions, messages, branches, feedback and visitors."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.models import Body
from domain.conversation import MAX_MESSAGE_CHARS, Feedback, Message, MessageRole, Rating, Session, TurnState
from domain.prompting.audience import MAX_ATTRIBUTES_TEXT
from domain.text import clean_text
from domain.wire import CitationModel, ConsentModel, UsageModel
from storage.postgres.feedback import RatedAnswer
from storage.postgres.messages import Branch
from storage.postgres.visitors import Visitor

Title = Annotated[str, AfterValidator(clean_text), Field(max_length=200)]
Cursor = Annotated[str, Field(min_length=1, max_length=100)]
"""Opaque to the client: what the page before called `next_cursor`."""
ClientId = Annotated[
    UUID | None, Field(description="Chosen by the client; sending it again never makes a second turn.")
]


class SessionBody(Body):
    title: Title = ""


class SessionChange(Body):
    """What is left out or null stays as it is."""

    title: Title | None = None
    closed: bool | None = Field(None, description="A closed session takes no more questions.")
    head_turn_id: UUID | None = Field(
        None, description="A turn of the session: the newest branch that goes through it becomes the active one."
    )


class SessionModel(BaseModel):
    id: UUID
    chatbot_id: UUID
    title: str
    visitor_id: UUID | None
    head_turn_id: UUID | None = Field(description="The last turn of the active branch.")
    closed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, session: Session) -> Self:
        return cls.model_validate(asdict(session))


class SessionPage(BaseModel):
    items: list[SessionModel]
    next_cursor: str | None


class MessageBody(Body):
    id: ClientId = None
    text: Annotated[str, AfterValidator(clean_text)] = Field(min_length=1, max_length=MAX_MESSAGE_CHARS)
    edits: UUID | None = Field(None, description="An earlier question; this one begins a branch in its place.")


class RegenerateBody(Body):
    id: ClientId = None


class FeedbackBody(Body):
    rating: Rating
    comment: Annotated[str, AfterValidator(clean_text)] = Field("", max_length=2_000)


class FeedbackModel(BaseModel):
    rating: Rating
    comment: str
    updated_at: datetime

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        return cls(**asdict(feedback))


class RatedAnswerModel(BaseModel):
    message_id: UUID
    session_id: UUID
    turn_id: UUID
    rating: Rating
    comment: str
    question: str = Field(description="Its first 300 characters.")
    answer: str = Field(description="Its first 300 characters.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, rated: RatedAnswer) -> Self:
        return cls(**asdict(rated))


class FeedbackPage(BaseModel):
    items: list[RatedAnswerModel]
    next_cursor: str | None


class MessageModel(BaseModel):
    id: UUID
    turn_id: UUID = Field(
        description="The turn of the listed branch; turns that answer one question share its message."
    )
    parent_turn_id: UUID | None
    versions: list[UUID] = Field(description="All turns with the same parent, oldest first, this one among them.")
    role: MessageRole
    content: str
    state: TurnState
    citations: list[CitationModel]
    usage: UsageModel | None
    feedback: FeedbackModel | None
    delivered_at: datetime | None
    created_at: datetime
    withheld: bool = Field(description="A reviewer took it out; `content` is empty.")

    @classmethod
    def of(cls, message: Message) -> Self:
        usage = message.usage
        return cls(
            id=message.id,
            turn_id=message.turn_id,
            parent_turn_id=message.parent_turn_id,
            versions=list(message.versions),
            role=message.role,
            content=message.content,
            state=message.state,
            citations=[CitationModel(**asdict(citation)) for citation in message.citations],
            usage=UsageModel(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            )
            if usage
            else None,
            feedback=FeedbackModel.of(message.feedback) if message.feedback else None,
            delivered_at=message.delivered_at,
            created_at=message.created_at,
            withheld=message.withheld,
        )


class MessagePage(BaseModel):
    items: list[MessageModel]
    next_cursor: str | None


class BranchModel(BaseModel):
    turn_id: UUID = Field(description="Its last turn.")
    active: bool
    messages: int
    preview: str = Field(description="The first 80 characters of the last question.")
    created_at: datetime

    @classmethod
    def of(cls, branch: Branch, head: UUID | None) -> Self:
        return cls(**asdict(branch), active=branch.turn_id == head)


class BranchList(BaseModel):
    items: list[BranchModel]


class AcceptedModel(BaseModel):
    turn_id: UUID
    message_id: UUID
    duplicate: bool


class StoppedModel(BaseModel):
    stopped: bool = Field(description="False when this turn was not running.")


class VisitorBody(Body):
    """Empty for somebody new; an earlier token to come back; or a signed name."""

    user_id: Annotated[str, AfterValidator(clean_text)] | None = Field(
        None, min_length=1, max_length=200, description="The tenant's own name for the person."
    )
    signature: str | None = Field(
        None,
        max_length=200,
        description="Hexadecimal HMAC-SHA256 of `user_id` under the bot's identity secret; with `attributes`, of"
        " `user_id`, a line feed and `attributes` under the secret followed by `:attributes`.",
    )
    attributes: str | None = Field(
        None,
        min_length=2,
        max_length=MAX_ATTRIBUTES_TEXT,
        description="What the bot's template may tell of the person: the text of a JSON object of short texts, on one"
        " line, as it was signed.",
    )
    token: str | None = Field(
        None, min_length=1, max_length=8_192, description="An anonymous visitor's last token, at most 30 days expired."
    )


class VisitorGrantModel(BaseModel):
    visitor_id: UUID
    token: str
    expires_in: int = Field(description="Seconds that the token lives.")
    consent: ConsentModel | None = Field(
        None, description="What to agree to before the first question; null if nothing."
    )


class VisitorModel(BaseModel):
    id: UUID
    external_id: str | None
    created_at: datetime
    last_seen_at: datetime
    sessions: int

    @classmethod
    def of(cls, visitor: Visitor) -> Self:
        return cls(**asdict(visitor))


class VisitorPage(BaseModel):
    items: list[VisitorModel]
    next_cursor: str | None


class IdentitySecretModel(BaseModel):
    secret: str = Field(description="The key of the signatures, as text. It stays on the tenant's server.")
