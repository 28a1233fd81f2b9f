"""Which questions are personal: their answers are for one person or one moment."""

import pytest

from domain.caching.personal import MAX_CHARS, personal


@pytest.mark.parametrize(
    "question",
    [
        "Where is my parcel?",
        "Wo ist meine Bestellung?",
        "Wann kommt unser Techniker?",
        "Have I been charged twice?",
        "Bin ich schon angemeldet?",
        "I've lost the card, what do I do?",
        "Is there a branch near me?",
        "Liegt etwas gegen mich vor?",
        "What is the status of order 48213?",
        "Status der Bestellung Nr. 4821?",
        "Where is AB-12345?",
        "Is ticket #4821 open?",
        "Please write to jane@example.org about it",
        "Call +49 170 1234567 please",
        "What happened on 2026-03-01?",
        "Was geschah am 1.3.2026?",
        "Are you open today?",
        "Habt ihr heute geöffnet?",
        "What is on next week?",
        "Was kostet das diese Woche?",
        "Qu'est-ce qu'il y a aujourd'hui ?",
        "Which is the nearest shop?",
        "who is at 192.168.0.1",
        "Ich heiße Anna, was kann ich tun?",
        "a" * (MAX_CHARS + 1),
    ],
)
def test_what_is_about_one_person_or_moment_is_personal(question: str) -> None:
    assert personal(question) is not None
    assert personal(question.upper()) is not None or "ß" in question


@pytest.mark.parametrize(
    "question",
    [
        "What is the delivery time to Austria?",
        "How do I reset a password?",
        "Do I have to register?",
        "Can you tell me what the lamp costs?",
        "Kann ich die Lampe zurückgeben?",
        "Is the shop open on Monday?",
        "Does it work with Windows 11?",
        "What changed in version 2024?",
        "Was kostet ein neuer Ausweis?",
        "How many users does plan B2 allow?",
        "",
    ],
)
def test_what_anybody_may_ask_is_not(question: str) -> None:
    assert personal(question) is None


def test_a_question_that_names_who_asks_is_personal() -> None:
    assert personal("What does Ada Lovelace owe?", ["ada lovelace"]) == "names who asks"
    assert personal("What does Adaline owe?", ["Ada"]) is None
    assert personal("What is to do?", ["do", "", "  "]) is None
    assert personal("a.b", ["a.b"]) == "names who asks"
    assert personal("acb", ["a.b"]) is None


@pytest.mark.parametrize(
    "text", ["@" * MAX_CHARS, "order " * 60, "a1" * 200, "in the " * 57, "#" * MAX_CHARS, "\x00\ud800"]
)
def test_hostile_text_takes_no_time(text: str) -> None:
    personal(text, ["(a+)+$", "\\"])
