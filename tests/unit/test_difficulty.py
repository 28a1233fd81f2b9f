"""How hard a question is, judged on questions that the weights were not fitted to."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.difficulty import THRESHOLD, difficulty_of

SET: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "fixtures" / "difficulty.yaml").read_text("utf-8"))


@pytest.mark.parametrize(("part", "least"), [("fitting", 0.95), ("held_out", 0.95), ("unseen", 0.85)])
def test_simple_and_hard_questions_are_told_apart(part: str, least: float) -> None:
    right = [difficulty_of(text).score < THRESHOLD for text in SET[part]["simple"]]
    right += [difficulty_of(text).score >= THRESHOLD for text in SET[part]["hard"]]
    assert sum(right) / len(right) >= least


def test_it_says_why() -> None:
    assert difficulty_of("What is the difference between A and B, and which one is cheaper?").signals == (
        "comparison",
        "2 questions",
    )
    assert difficulty_of("What does the lamp cost?").signals == ()


def test_what_retrieval_is_unsure_of_is_harder() -> None:
    question = "If it rains, where is the party?"
    assert difficulty_of(question, 0.1).score > difficulty_of(question, 0.9).score == difficulty_of(question).score


@pytest.mark.parametrize(
    "text", ["", "?" * 5_000, "a" * 100_000, "if " * 30_000, "\x00\ud800", "1+" * 9_000, "\n" * 9_000]
)
def test_any_text_has_a_difficulty(text: str) -> None:
    assert 0.0 <= difficulty_of(text, 0.0).score <= 1.0


def test_words_that_only_look_like_work_make_no_question_hard() -> None:
    for text in ("How do I write to you?", "Where is the summary of my order?", "Was it damaged in the war?"):
        assert difficulty_of(text).signals == ()
