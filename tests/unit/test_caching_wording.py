"""When two questions ask the same: synonyms and forms do, other names, numbers, negations and directions do not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.caching.exact import exact_form
from domain.caching.wording import Wording

PAIRS = Path(__file__).parents[2] / "benchmarks" / "data" / "asked_alike.yaml"


def same(first: str, second: str) -> bool:
    forward = Wording.of(first).asks_the_same(Wording.of(second))
    assert forward is Wording.of(second).asks_the_same(Wording.of(first))
    return forward


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How much is the lamp?", "What does the lamp cost?"),
        ("How long does shipping to Oslo take?", "What's the delivery time to Oslo"),
        ("Can I return shoes without the box?", "Is it possible to return shoes without a box?"),
        ("Is the shop open on Monday?", "On Mondays, is the shop open?"),
        ("Don't you ship to Malta?", "Do you not ship to Malta?"),
        ("Is it 3 metres long?", "Is it three meters long?"),
        ("Wie lange dauert der Versand nach Wien?", "Wie lang ist die Lieferzeit nach Wien?"),
        ("Was kostet die Lampe?", "Wie teuer ist die Lampe?"),
    ],
)
def test_other_words_for_the_same(first: str, second: str) -> None:
    assert same(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Is the shop open on Monday?", "Is the shop open on Sunday?"),
        ("Is the shop open on Monday?", "Is the shop not open on Monday?"),
        ("Is the shop open on Monday?", "When is the shop open on Monday?"),
        ("Is the shop open on Monday?", "Was the shop open on Monday?"),
        ("Do you ship to Austria?", "Do you ship to Australia?"),
        ("Do you ship to Austria?", "Do you ship from Austria?"),
        ("The train from Oslo to Rome", "The train from Rome to Oslo"),
        ("Is A4 larger than B5?", "Is B5 larger than A4?"),
        ("Can I pay with a card?", "Can I pay without a card?"),
        ("Can I call you?", "Can you call me?"),
        ("Must I register?", "Can I register?"),
        ("Is version 2 supported?", "Is version 3 supported?"),
        ("Is it under 10 kg?", "Is it over 10 kg?"),
        ("Open before 10?", "Open after 10?"),
        ("Is breakfast included?", "Is breakfast excluded?"),
        ("Do all plans include it?", "Do any plans include it?"),
        ("How do I log in?", "How do I log out?"),
        ("Hat das Museum am Montag offen?", "Hat das Museum am Dienstag offen?"),
        ("Geht das mit Karte?", "Geht das ohne Karte?"),
        ("Wann öffnet das Bad?", "Wo öffnet das Bad?"),
        ("", ""),
        ("What is it?", "Is it there?"),
        ("?", "!"),
    ],
)
def test_what_asks_for_something_else(first: str, second: str) -> None:
    assert not same(first, second)


def test_no_pair_of_the_near_misses_is_the_same_and_most_paraphrases_are() -> None:
    groups: list[dict[str, Any]] = yaml.safe_load(PAIRS.read_text("utf-8"))
    wrong = [(one["ask"], other) for one in groups for other in one["other"] if same(one["ask"], other)]
    right = [same(one["ask"], other) for one in groups for other in one["same"]]
    assert len(wrong) <= 0.01 * sum(len(one["other"]) for one in groups), wrong
    assert sum(right) >= 0.5 * len(right)


def test_the_same_words_are_the_same_in_any_case_and_with_any_punctuation_at_the_end() -> None:
    assert exact_form("  What is\n it? ") == exact_form("what IS it") == exact_form("Ｗhat is it?!")
    assert exact_form("What is it") != exact_form("What was it")
    assert exact_form("C++") != exact_form("C")
