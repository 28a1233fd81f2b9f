"""Fitting the prompt: priorities, whole passages, never over the window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chatbot import ChatbotConfig
from domain.errors import Unprocessable
from domain.generation import PromptMessage
from domain.prompt import REPLY_OVERHEAD, Prompt, Window, fit_prompt
from tests.fixtures.twins import WordCounter, passage

CONFIG = ChatbotConfig(max_tokens=50)
WINDOW = Window(context_tokens=400, tokens_per_message=4)


def history(exchanges: int, words: int = 5) -> list[PromptMessage]:
    return [
        PromptMessage(role, f"{role} {n} " + "w " * words) for n in range(exchanges) for role in ("user", "assistant")
    ]


def size(prompt: Prompt) -> int:
    return sum(len(m.content.split()) + WINDOW.tokens_per_message for m in prompt.messages) + REPLY_OVERHEAD


def test_order_is_system_history_question() -> None:
    prompt = fit_prompt(CONFIG, [passage("blue lamp")], history(1), "Which lamp?", WordCounter(), WINDOW)
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[-1].content.endswith("Question: Which lamp?")
    assert "[1] blue lamp" in prompt.messages[-1].content


def test_passages_come_before_history() -> None:
    long = [passage("fact " * 100, ordinal=n) for n in range(2)]
    prompt = fit_prompt(CONFIG, long, history(10), "why?", WordCounter(), WINDOW)
    assert len(prompt.passages) == 2
    assert prompt.dropped_history > 0


def test_a_passage_that_does_not_fit_is_left_out_whole() -> None:
    prompt = fit_prompt(
        CONFIG, [passage("big " * 1000), passage("small fact", ordinal=1)], [], "why?", WordCounter(), WINDOW
    )
    assert [p.text for p in prompt.passages] == ["small fact"]
    assert prompt.dropped_passages == 1


def test_the_newest_exchanges_stay() -> None:
    prompt = fit_prompt(CONFIG, [], history(40), "why?", WordCounter(), WINDOW)
    past = [m.content for m in prompt.messages[1:-1]]
    assert past[-1].startswith("assistant 39")
    assert past[0].startswith("user")


def test_a_question_that_is_too_long_is_refused() -> None:
    with pytest.raises(Unprocessable):
        fit_prompt(CONFIG, [], [], "w " * 1000, WordCounter(), WINDOW)


@given(
    passages=st.lists(st.integers(1, 300), max_size=8),
    exchanges=st.integers(0, 12),
    words=st.integers(1, 80),
    question=st.integers(1, 250),
    max_tokens=st.integers(1, 500),
)
def test_never_over_the_window(passages: list[int], exchanges: int, words: int, question: int, max_tokens: int) -> None:
    config = ChatbotConfig(max_tokens=max_tokens)
    texts = [passage("p " * n, ordinal=i) for i, n in enumerate(passages)]
    try:
        prompt = fit_prompt(config, texts, history(exchanges, words), "q " * question, WordCounter(), WINDOW)
    except Unprocessable:
        return
    assert size(prompt) <= prompt.tokens
    assert prompt.tokens + prompt.max_tokens <= WINDOW.context_tokens
    assert 1 <= prompt.max_tokens <= max_tokens
