"""The JSON shapes of the prompt preview."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.models import Body
from deployments.gateway.retrieval_models import EarlierMessage, FoundModel, Text
from domain.chatbot import ChatbotConfig
from domain.generation import PromptMessage
from domain.prompt import Prompt, Window
from domain.prompting.audience import locale_of
from domain.prompting.configuration import RECALLED_FROM
from domain.retrieval.result import Retrieval
from domain.text import clean_text


def _locale(told: str) -> str:
    if told and locale_of(told) != told:
        raise ValueError("a locale is a language tag such as de-AT")
    return told


class PromptPreviewBody(Body):
    question: Text
    config: dict[str, Any] = Field({}, description="Fields of the bot's configuration to try otherwise.")
    draft: bool = Field(False, description="Begin with the bot's draft in place of its live configuration.")
    history: list[EarlierMessage] = Field(
        [], max_length=2 * RECALLED_FROM, description="The conversation before it, oldest first."
    )
    summary: Annotated[str, AfterValidator(clean_text)] = Field(
        "", max_length=8_000, description="Of what was said before the history."
    )
    locale: Annotated[str, AfterValidator(_locale)] = Field("", max_length=35)
    attributes: dict[str, str] = Field({}, max_length=20, description="Of a visitor.")

    @property
    def messages(self) -> tuple[PromptMessage, ...]:
        return tuple(PromptMessage(message.role, message.content) for message in self.history)


class PromptMessageModel(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str


class LeftOutModel(BaseModel):
    passages: int
    history: int = Field(description="Messages.")
    examples: int


class PartsModel(BaseModel):
    """Tokens of each part, without what the model's chat template adds."""

    system: int
    examples: int
    history: int
    memory: int = Field(description="The summary, or what is recalled.")
    passages: int
    question: int


class PromptPreviewModel(BaseModel):
    asked: bool = Field(
        description="Whether a model is asked at all: without a passage a bot that answers from its documents only says"
        " that it has no answer."
    )
    model: str
    messages: list[PromptMessageModel]
    tokens: int = Field(description="Of all messages, with what the chat template adds.")
    parts: PartsModel
    exact: bool = Field(description="Counted by the model's own tokenizer; otherwise too much rather than too little.")
    context_tokens: int = Field(description="The model's window.")
    max_tokens: int = Field(description="Room for the answer.")
    left_out: LeftOutModel
    recalled: int = Field(description="Earlier exchanges that are quoted.")
    summary: Literal["none", "shown", "dropped"]
    query: str = Field(description="What was searched for.")
    passages: list[FoundModel] = Field(description="Those in the prompt, in its order.")

    @classmethod
    def of(
        cls, config: ChatbotConfig, model: str, prompt: Prompt, retrieval: Retrieval, window: Window, *, exact: bool
    ) -> Self:
        found = {one.passage: one for one in retrieval.kept}
        return cls(
            asked=bool(retrieval.kept) or config.retrieval.grounding != "documents",
            model=model,
            messages=[PromptMessageModel.model_validate(one, from_attributes=True) for one in prompt.messages],
            tokens=prompt.tokens,
            parts=PartsModel(**prompt.parts),
            exact=exact,
            context_tokens=window.context_tokens,
            max_tokens=prompt.max_tokens,
            left_out=LeftOutModel(**prompt.note["left_out"]),
            recalled=prompt.recalled,
            summary=prompt.summary,
            query=retrieval.query,
            passages=[FoundModel.of(found[passage]) for passage in prompt.passages],
        )
