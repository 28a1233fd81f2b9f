"""Which questions lean on the conversation, and what is searched for then."""

import pytest

from domain.generation import PromptMessage
from domain.retrieval.follow_up import MAX_CHARS, MAX_CONTEXT_CHARS, leans, standalone


def talk(*texts: str) -> list[PromptMessage]:
    """Questions and answers in turn."""
    return [PromptMessage(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    "question",
    [
        "How much does it cost?",
        "And in 1998?",
        "what about the red one?",
        "When was he born?",
        "Why?",
        "How many of them are blue?",
        "Who paid for that?",
        "Und was kostet die Batterie davon?",
        "Wie alt war seine Schwester?",
        "Und wie lange?",
        "",
    ],
)
def test_a_follow_up_leans(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "When did Nikola Tesla move to the house that his father had built?",
        "How long is the warranty of the Aurora lamp?",
        "Which factors influence the price of electricity?",
        "Wie lange gilt die Garantie der Lampe Aurora?",
        "Does the Aurora lamp keep its colour?",
        "it " * MAX_CHARS,
    ],
)
def test_a_question_stands_alone(question: str) -> None:
    assert not leans(question)


def test_what_it_leans_on_is_searched_for_as_well() -> None:
    before = talk("How long is the warranty of the Aurora lamp?", "Two years.")
    assert standalone("How much does it cost?", before) == (
        "How long is the warranty of the Aurora lamp? How much does it cost?"
    )
    assert standalone("What is the capital of France?", before) is None


def test_a_follow_up_of_a_follow_up_goes_back_to_the_topic() -> None:
    before = talk("Who built the Eiffel Tower?", "A company.", "How high is it?", "330 metres.")
    found = standalone("And when was it painted last?", before)
    assert found == "Who built the Eiffel Tower? How high is it? And when was it painted last?"


def test_a_new_topic_ends_the_old_one() -> None:
    before = talk("Who built the Eiffel Tower?", "A company.", "How long is the warranty of the Aurora lamp?", "Two.")
    assert standalone("How much does it cost?", before) == (
        "How long is the warranty of the Aurora lamp? How much does it cost?"
    )


def test_the_first_question_has_nothing_to_lean_on() -> None:
    assert standalone("How much does it cost?", []) is None
    assert standalone("How much does it cost?", [PromptMessage("assistant", "Hello!")]) is None


def test_long_questions_before_are_cut() -> None:
    found = standalone("Why?", talk("word " * 5_000, "No."))
    assert found is not None
    assert len(found) <= MAX_CONTEXT_CHARS + 10
