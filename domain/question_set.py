"""Question sets: questions about a bot's documents, with what a good answer says and where it stands."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.ids import ChatbotId, QuestionId, QuestionSetId, SessionId, TenantId
from domain.text import clean_text

MAX_QUESTIONS = 2_000
"""Of one set."""
MAX_SETS = 50
"""Of one bot."""
MAX_ADDED = 500
"""Questions that one request draws from conversations."""

FIRST_WITHOUT_SPACES = "\u2e80"
"""Chinese and Japanese from here on."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Text = Annotated[str, AfterValidator(clean_text), AfterValidator(_not_blank)]


class QuestionSource(StrEnum):
    UPLOAD = "upload"
    CONVERSATION = "conversation"


class Said(BaseModel):
    """What was said before the question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["user", "assistant"]
    content: Text = Field(max_length=4_000)


class ExpectedPassage(BaseModel):
    """Where the answer stands: a document, a span of it, or the words themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document_id: UUID | None = None
    document: Text | None = Field(None, max_length=255, description="The document's name; case does not matter.")
    start: int | None = Field(None, ge=0, le=2_147_483_647)
    end: int | None = Field(
        None, ge=1, le=2_147_483_647, description="Span in the document's parsed text, in characters."
    )
    snippet: Text | None = Field(None, max_length=4_000)

    @model_validator(mode="after")
    def _places_something(self) -> Self:
        if self.document_id is None and self.document is None and self.snippet is None:
            raise ValueError("names no document and no snippet")
        if (self.start is None) != (self.end is None):
            raise ValueError("`start` and `end` go together")
        if self.start is not None and self.end is not None:
            if self.end <= self.start:
                raise ValueError("`end` must be after `start`")
            if self.document_id is None and self.document is None:
                raise ValueError("a span needs its document")
        return self


class QuestionSpec(BaseModel):
    """A question and what is expected of the bot; without any expectation it only shows whether the bot answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Text = Field(max_length=4_000)
    history: tuple[Said, ...] = Field((), max_length=20, description="The conversation before it, oldest first.")
    answers: tuple[Annotated[Text, Field(max_length=2_000)], ...] = Field(
        (), max_length=10, description="Any of these in the answer makes it right."
    )
    passages: tuple[ExpectedPassage, ...] = Field((), max_length=10, description="Where the answer stands.")
    answerable: bool = Field(True, description="False when the documents do not say it, and the bot should say so.")

    @model_validator(mode="after")
    def _one_expectation(self) -> Self:
        if not self.answerable and (self.answers or self.passages):
            raise ValueError("a question that is not answerable has neither answers nor passages")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for questions that are the same but for case and punctuation, after the same conversation."""
        return (words(self.question), *(words(said.content) for said in self.history))


@dataclass(frozen=True, slots=True)
class QuestionSet:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: QuestionSetId
    name: str
    revision: int
    """Grows whenever questions come or go: evaluations of one revision asked the same."""
    questions: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    id: QuestionId
    spec: QuestionSpec
    source: QuestionSource
    rating: Literal["up", "down"] | None
    """What the reader thought of the answer, for a question from a conversation."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewQuestion:
    spec: QuestionSpec
    source: QuestionSource = QuestionSource.UPLOAD
    rating: Literal["up", "down"] | None = None
    session_id: SessionId | None = None
    """Where it was asked: it is erased with that conversation, and nobody is shown whose it was."""


def words(text: str) -> str:
    """The words of `text` in one case and form with a space between: what comparisons of texts look at.

    Letters of scripts without spaces count as words.
    """
    chars = (char if char.isalnum() else " " for char in unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(f" {char} " if char >= FIRST_WITHOUT_SPACES else char for char in chars).split())
