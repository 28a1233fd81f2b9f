"""What a tenant can set about prompts: the template with its variables, examples, and what is remembered."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.prompting import template
from domain.text import clean_text

Text = Annotated[str, AfterValidator(clean_text)]

MAX_TEMPLATE = 16_000
MAX_HEAD = 64_000
"""Characters that a template may become, with the longest values there can be."""
RECENT = {"sliding": 10, "summary": 4, "recall": 4}
MOST_RECENT = 10
RECALLED_FROM = 60
"""Exchanges of a branch that are looked at for what to recall."""
# Of the built-in names, the longest value each can have.
BUILT_IN = {
    "system_prompt": 8_000,
    "persona": 2_000,
    "tone": 200,
    "chatbot_name": 200,
    "locale": 35,
    "language": 35,
    "date": 10,
}
MAX_ATTRIBUTE = 200
"""Characters of a visitor's attribute."""


class Variable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=rf"^{template.NAME}$")
    value: Text = Field("", max_length=1_000)


class Example(BaseModel):
    """A question and how the bot should answer it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Text = Field(min_length=1, max_length=2_000)
    answer: Text = Field(min_length=1, max_length=4_000)


class PromptConfig(BaseModel):
    """Every field has a default, so that a configuration stored before the field existed still loads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: Text = Field(
        "",
        max_length=MAX_TEMPLATE,
        description="The system text with names in double braces; empty puts instructions, persona and tone together."
        " docs/prompts.md",
    )
    variables: tuple[Variable, ...] = Field((), max_length=20, description="Names of the bot's own for the template.")
    examples: tuple[Example, ...] = Field(
        (), max_length=10, description="Shown before the conversation as if they were its beginning."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        own = {variable.name: len(variable.value) for variable in self.variables}
        if len(own) < len(self.variables):
            raise ValueError("two variables have the same name")
        if taken := sorted(own.keys() & {*BUILT_IN, "visitor"}):
            raise ValueError(f"the name {taken[0]!r} has a meaning already")
        known = BUILT_IN | own
        try:
            template.check(self.template, tuple(known))
        except template.BrokenTemplate as error:
            raise ValueError(f"template, {error}") from None
        slots = template.slots_of(self.template)
        if len(self.template) + sum(known.get(slot.name, MAX_ATTRIBUTE) for slot in slots) > MAX_HEAD:
            raise ValueError(f"the template can become longer than {MAX_HEAD:,} characters")
        return self

    @property
    def personal(self) -> bool:
        """Whether two visitors may get different system texts."""
        return any(
            slot.name.startswith(template.VISITOR) or slot.name in ("locale", "language")
            for slot in template.slots_of(self.template)
        )

    @property
    def varies(self) -> bool:
        """Whether an answer to one visitor today may be none to another, or tomorrow."""
        return self.personal or any(slot.name == "date" for slot in template.slots_of(self.template))

    @property
    def shows_attributes(self) -> bool:
        return any(slot.name.startswith(template.VISITOR) for slot in template.slots_of(self.template))


class ContextConfig(BaseModel):
    """How a long conversation is kept within the model's window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal["sliding", "summary", "recall"] = Field(
        "sliding",
        description="Earlier exchanges are forgotten, summed up in the background, or recalled where they have words"
        " of the question.",
    )
    recent: int | None = Field(
        None,
        ge=1,
        le=MOST_RECENT,
        description="Newest exchanges that are shown word for word; null is 10, or 4 beside a summary or what is"
        " recalled.",
    )
    summarize_after_tokens: int = Field(
        600,
        ge=100,
        le=100_000,
        description="What exchanges before the recent ones may come to until they are summed up.",
    )
    summary_tokens: int = Field(200, ge=32, le=1_000, description="The longest summary.")
    recalled: int = Field(3, ge=1, le=10, description="Earlier exchanges that are recalled at most.")

    @property
    def newest(self) -> int:
        """How many exchanges are shown word for word."""
        return self.recent or RECENT[self.strategy]
