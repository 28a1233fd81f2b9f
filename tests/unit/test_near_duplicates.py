"""Near duplicates by word triples."""

import pytest

from domain.retrieval.near_duplicates import Wording

TEXT = "The lamp comes with a warranty of two years, which begins on the day of the purchase and covers the battery."


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (TEXT, True),
        (TEXT.upper().replace(",", " —"), True),
        (TEXT + " Keep it.", True),
        (TEXT.replace("battery", "bulb"), True),
        (TEXT.replace("warranty of two years", "guarantee of three months"), False),
        ("The lamp is blue.", False),
        ("", False),
    ],
)
def test_what_resembles(other: str, alike: bool) -> None:
    assert Wording(TEXT).resembles(Wording(other), 0.85) is alike
    assert Wording(other).resembles(Wording(TEXT), 0.85) is alike


def test_other_numbers_say_something_else() -> None:
    line = "In the year {} the price of the lamp in the shop in the old town was the same as it had been before it."
    assert not Wording(line.format(2021)).resembles(Wording(line.format(2022)), 0.5)


def test_only_the_same_wording_is_alike_at_one() -> None:
    assert Wording(TEXT).resembles(Wording(TEXT), 1.0)
    assert not Wording(TEXT).resembles(Wording(TEXT + " Keep it."), 1.0)
    assert Wording("blue").resembles(Wording("Blue!"), 1.0)
    assert not Wording("blue").resembles(Wording("red"), 0.1)
