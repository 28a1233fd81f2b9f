"""Conversations that callers bring along: exchanges, the question, fingerprints."""

import pytest

from domain.errors import InvalidInput
from domain.given_history import MAX_EXCHANGES, fingerprint, history_of


def test_exchanges_and_the_question_are_told_apart() -> None:
    history = history_of([("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")])
    assert (history.exchanges, history.question) == ((("a", "b"), ("c", "d")), "e")
    assert history.earlier == (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))


def test_what_one_side_says_in_a_row_is_one_message_and_a_greeting_answers_nothing() -> None:
    history = history_of([("assistant", "Hello!"), ("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")])
    assert (history.exchanges, history.question) == ((("a\n\nb", "c"),), "d")


def test_only_the_newest_exchanges_are_kept() -> None:
    said = [one for number in range(30) for one in (("user", f"q{number}"), ("assistant", f"a{number}"))]
    history = history_of([*said, ("user", "last")])
    assert len(history.exchanges) == MAX_EXCHANGES
    assert history.exchanges[-1] == ("q29", "a29")


@pytest.mark.parametrize("said", [[], [("assistant", "a")], [("user", "a"), ("assistant", "b")], [("user", " \n")]])
def test_without_a_question_there_is_nothing_to_answer(said: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput):
        history_of(said)


def test_a_fingerprint_tells_conversations_apart() -> None:
    said = [("user", "a"), ("assistant", "b")]
    assert fingerprint(said) == fingerprint(list(said))
    others = [said[:1], said[::-1], [("user", "ab")], [("user", "a"), ("user", "b")], []]
    assert len({fingerprint(one) for one in [said, *others]}) == 6
