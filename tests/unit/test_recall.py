"""Which earlier exchanges a question comes back to."""

from domain.generation import PromptMessage
from domain.prompting.recall import Exchange, recalled


def exchange(asked: str, answered: str) -> Exchange:
    return PromptMessage("user", asked), PromptMessage("assistant", answered)


SAID = [
    exchange("What does the copper lantern cost?", "It costs forty euros."),
    exchange("Do you ship to Norway?", "Yes, within five days."),
    exchange("And to Iceland?", "Yes, within nine days; the lantern takes longer."),
    exchange("Is there a warranty?", "Two years."),
]


def test_exchanges_that_share_rare_words_come_first() -> None:
    assert recalled("How long was the warranty?", SAID, 3)[0] == 3
    assert recalled("Tell me again about shipping to Norway", SAID, 1) == [1]


def test_a_word_of_the_visitors_own_question_counts_more() -> None:
    assert recalled("the lantern", SAID, 2) == [0, 2]


def test_nothing_is_recalled_where_no_word_is_shared() -> None:
    assert recalled("Which colours are there?", SAID, 3) == []
    assert recalled("", SAID, 3) == []
    assert recalled("lantern", [], 3) == []


def test_no_more_than_asked_for_and_the_later_of_two_alike_first() -> None:
    same = [exchange("the lantern", "forty") for _ in range(5)]
    assert recalled("lantern", same, 2) == [4, 3]


def test_scripts_without_spaces_are_compared_by_pairs_of_letters() -> None:
    said = [exchange("退货政策是什么?", "十四天内可以退货。"), exchange("你们几点开门?", "九点。")]
    assert recalled("退货需要几天", said, 1) == [0]
