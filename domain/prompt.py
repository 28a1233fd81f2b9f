"""Fits head, passages, conversation and question into the model's context window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from domain.answer_form import AnswerForm
from domain.chatbot import ChatbotConfig
from domain.documents import Passage
from domain.errors import PromptTooLong
from domain.generation import PromptMessage
from domain.ports import TokenCounter
from domain.prompting.audience import Audience
from domain.prompting.head import NOBODY, example_messages, system_text
from domain.prompting.quotations import (
    PASSAGES,
    RECALLED,
    exchange_text,
    passage_text,
    question_text,
    quotation,
    recalled_text,
    summary_text,
)
from domain.prompting.recall import Exchange, recalled

REPLY_OVERHEAD = 8
"""Tokens that a chat template adds once: start of text and the header of the answer."""
LEAST_ANSWER = 16
"""Tokens without which there is no sense in asking."""


@dataclass(frozen=True, slots=True)
class Window:
    """The model's limits, in tokens."""

    context_tokens: int
    tokens_per_message: int
    """What the chat template adds around each message."""
    count_factor: int = 1
    """How many tokens the engine may count for each that the turn's counter does, at most."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said before the question."""

    history: Sequence[PromptMessage] = ()
    """Exchanges, oldest first: user, assistant, user, assistant …"""
    summary: str = ""
    """Of what was said before them; empty where nothing was summed up."""


@dataclass(frozen=True, slots=True)
class Prompt:
    messages: tuple[PromptMessage, ...]
    passages: tuple[Passage, ...]
    """Those that fitted, best first."""
    tokens: int
    """Counted size of `messages`, template included."""
    max_tokens: int
    """Room for the answer."""
    dropped_passages: int
    dropped_history: int
    """Messages of the conversation that are shown neither word for word nor as a quotation."""
    dropped_examples: int = 0
    recalled: int = 0
    """Earlier exchanges that are quoted."""
    summary: Literal["none", "shown", "dropped"] = "none"
    """Whether there was one: `none`, `shown`, or `dropped` where it did not fit."""
    parts: dict[str, int] = field(default_factory=dict)
    """Tokens of each part, without what the template adds; together with that about `tokens`."""

    @property
    def system(self) -> str:
        return self.messages[0].content

    @property
    def note(self) -> dict[str, Any]:
        """What is worth knowing about it afterwards, without its words."""
        return {
            "tokens": self.tokens,
            "max_tokens": self.max_tokens,
            "parts": self.parts,
            "passages": len(self.passages),
            "recalled": self.recalled,
            "summary": self.summary,
            "left_out": {
                "passages": self.dropped_passages,
                "history": self.dropped_history,
                "examples": self.dropped_examples,
            },
        }


def fit_prompt(
    config: ChatbotConfig,
    passages: Sequence[Passage],
    conversation: Conversation,
    question: str,
    counter: TokenCounter,
    window: Window,
    mark: str = "",
    audience: Audience = NOBODY,
    form: AnswerForm | None = None,
) -> Prompt:
    """Choose what fits, in this order: system text, question, examples, passages (best first), recent exchanges, then
    the summary or what is recalled.

    `mark` is what surrounds quotations, as in `question_text`; what an answer's form asks for follows the question.
    Everything goes in whole or not at all. Raises
    PromptTooLong when system text and question alone are too long.
    """
    return _Fitting(config, question, counter, window, mark, audience, form).fit(passages, conversation)


class _Fitting:
    """Parts are counted one by one while they are chosen, and the message that holds them once more at the end."""

    def __init__(
        self,
        config: ChatbotConfig,
        question: str,
        counter: TokenCounter,
        window: Window,
        mark: str,
        audience: Audience,
        form: AnswerForm | None,
    ) -> None:
        self._config = config
        self._question = question
        self._asked = question if form is None else f"{question}\n\n{form.instruction}"
        self._counter = counter
        self._mark = mark
        self._around = window.tokens_per_message
        self._system = system_text(config, audience)
        # What differs from visitor to visitor is not worth remembering, and not ours to keep.
        self._count_head = counter.count if config.prompt.personal else _head_counter(counter)
        self._question_tokens = counter.count(self._asked)
        room = window.context_tokens - REPLY_OVERHEAD
        self._used = self._count_head(self._system) + self._question_tokens + 2 * self._around
        self._max_tokens = min(config.max_tokens, max(room - self._used, 0))
        if self._max_tokens < min(LEAST_ANSWER, config.max_tokens):
            raise PromptTooLong
        self._room = room - self._max_tokens

    def fit(self, passages: Sequence[Passage], conversation: Conversation) -> Prompt:
        examples = self._examples()
        head = self._used - self._question_tokens
        kept = self._passages(passages)
        exchanges = exchanges_of(conversation.history)
        recent, sizes = self._recent(exchanges)
        older = exchanges[: len(exchanges) - len(recent)]
        summary = self._summary(conversation.summary)
        quoted = self._recalled(older)
        while True:
            memory = self._memory(summary, [older[place] for place in sorted(quoted)])
            last = question_text(self._asked, kept, self._mark, memory)
            last_tokens = self._counter.count(last)
            tokens = head + sum(sizes) + last_tokens
            if tokens <= self._room or not (quoted or summary or recent or kept):
                break
            # A tokenizer may make more of the whole than of its parts: what matters least goes.
            if quoted:
                quoted.pop()
            elif summary:
                summary = ""
            elif recent:
                recent, sizes = recent[1:], sizes[1:]
            else:
                kept.pop()
        remembered = self._counter.count(memory) if memory else 0
        return Prompt(
            messages=(
                PromptMessage("system", self._system),
                *examples,
                *(message for exchange in recent for message in exchange),
                PromptMessage("user", last),
            ),
            passages=tuple(kept),
            tokens=tokens + REPLY_OVERHEAD,
            max_tokens=self._max_tokens,
            dropped_passages=len(passages) - len(kept),
            dropped_history=len(conversation.history) - 2 * (len(recent) + len(quoted)),
            dropped_examples=len(self._config.prompt.examples) - len(examples) // 2,
            recalled=len(quoted),
            summary="none" if not conversation.summary else "shown" if summary else "dropped",
            parts={
                "system": self._count_head(self._system),
                "examples": sum(self._count_head(message.content) for message in examples),
                "history": sum(sizes),
                "memory": remembered,
                "passages": max(0, last_tokens - self._question_tokens - remembered) if kept else 0,
                "question": self._question_tokens,
            },
        )

    def _takes(self, text: str, around: int = 0) -> bool:
        """Whether the text still fits; then it is counted as used. `around` is what else comes with it, in tokens."""
        size = self._counter.count(text) + around
        if self._used + size > self._room:
            return False
        self._used += size
        return True

    def _examples(self) -> list[PromptMessage]:
        """Those from the first on that fit: what comes before the conversation should not change from turn to turn."""
        chosen: list[PromptMessage] = []
        for exchange in exchanges_of(example_messages(self._config)):
            size = sum(self._count_head(message.content) + self._around for message in exchange)
            if self._used + size > self._room:
                break
            chosen += exchange
            self._used += size
        return chosen

    def _passages(self, passages: Sequence[Passage]) -> list[Passage]:
        """What surrounds the passages comes with the first of them."""
        kept: list[Passage] = []
        around = self._counter.count(f"{quotation(PASSAGES, '', self._mark)}\n\nQuestion: ") if passages else 0
        for passage in passages:
            if self._takes(f"{passage_text(len(kept) + 1, passage)}\n\n", 0 if kept else around):
                kept.append(passage)
        return kept

    def _recent(self, exchanges: Sequence[Exchange]) -> tuple[list[Exchange], list[int]]:
        """The longest run of exchanges, newest last, that still fits, and what each takes."""
        context = self._config.context
        # What is not summed up yet has no other place.
        newest = exchanges if context.strategy == "summary" else exchanges[-context.newest :]
        chosen: list[Exchange] = []
        sizes: list[int] = []
        for exchange in reversed(newest):
            size = sum(self._counter.count(message.content) + self._around for message in exchange)
            if self._used + size > self._room:
                break
            chosen.insert(0, exchange)
            sizes.insert(0, size)
            self._used += size
        return chosen, sizes

    def _summary(self, summary: str) -> str:
        return summary if summary and self._takes(f"{summary_text(summary, self._mark)}\n\nQuestion: ") else ""

    def _recalled(self, older: Sequence[Exchange]) -> list[int]:
        """Places of what is quoted, best first."""
        if self._config.context.strategy != "recall" or not older:
            return []
        quoted: list[int] = []
        around = self._counter.count(f"{quotation(RECALLED, '', self._mark)}\n\nQuestion: ")
        for place in recalled(self._question, older, self._config.context.recalled):
            if self._takes(f"{exchange_text(older[place])}\n\n", 0 if quoted else around):
                quoted.append(place)
        return quoted

    def _memory(self, summary: str, quoted: Sequence[Exchange]) -> str:
        texts = [summary_text(summary, self._mark)] if summary else []
        if quoted:
            texts.append(recalled_text(quoted, self._mark))
        return "\n\n".join(texts)


def exchanges_of(messages: Sequence[PromptMessage]) -> list[Exchange]:
    """From the end on, in pairs."""
    return [(messages[at], messages[at + 1]) for at in range(len(messages) % 2, len(messages) - 1, 2)]


@lru_cache(maxsize=64)
def _head_counter(counter: TokenCounter) -> Callable[[str], int]:
    """Remembers what the heads of configurations come to."""
    return lru_cache(maxsize=256)(counter.count)
