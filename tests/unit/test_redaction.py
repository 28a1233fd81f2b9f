"""Secrets and personal data in an answer that streams: found however it is cut, and never shown in part."""

import random

import pytest

from actors.guarding.personal_data import PersonalData
from domain.guarding.checks import SpanCheck
from domain.guarding.credentials import Credentials, is_noise
from domain.guarding.redaction import Redactor, found_by, redacted

EVERYTHING = PersonalData(("card", "iban", "email", "phone", "ssn", "ip"), "US")
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA3Tz2mr7S\nZ1BjP5CE/Wm/Rr500P\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = {
    "access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "API key": "lq_live_" + "9f3kQz81LmPx02TvYw",
    "token": JWT,
    "private key": PEM,
}
WIDE = "４１１１１１１１１１１１１１１１"
PERSONAL = {
    "card number": (
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "5555.5555.5555.4444",
        "４１１１１１１１１１１１１１１１",
    ),
    "social security number": ("536-90-4399",),
    "bank account": ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"),
    "e-mail address": ("jane.doe+x@mail.example.com",),
    "phone number": ("+49 30 901820", "(415) 555-2671", "+1 415-555-2671"),
    "IP address": ("192.168.10.77", "2001:db8::ff00:42:8329"),
}


def streamed(check: SpanCheck, text: str, sizes: list[int]) -> str:
    redactor, shown, at = Redactor(check), "", 0
    for size in sizes * (len(text) // sum(sizes) + 1):
        shown += redactor.feed(text[at : at + size])
        at += size
    return shown + redactor.finish()


CASES: list[tuple[SpanCheck, str, str]] = [(Credentials(), label, value) for label, value in SECRETS.items()]
CASES += [(EVERYTHING, label, value) for label, values in PERSONAL.items() for value in values]


@pytest.mark.parametrize(("check", "label", "value"), CASES)
def test_a_find_is_never_shown_in_part(check: SpanCheck, label: str, value: str) -> None:
    chance = random.Random(5)
    expected = f"Here it is: ‹{label} removed›, and so on."
    text = f"Here it is: {value}, and so on."
    assert redacted(text, found_by([check], text)) == expected
    for sizes in ([1], [2], [3], [7], [len(text)], [chance.randint(1, 5) for _ in range(20)]):
        assert streamed(check, text, sizes) == expected, sizes
    ends = Redactor(check)
    shown = "".join(ends.feed(char) for char in f"It is {value}")
    assert shown.strip() == "It is", "shown before anybody could know"
    assert ends.finish().strip() == f"‹{label} removed›"


def test_a_card_is_found_among_other_numbers() -> None:
    text = "Order 12 4111 1111 1111 1111 of 2024"
    assert redacted(text, EVERYTHING.find(text)) == "Order 12 ‹card number removed› of 2024"
    text = "4111\u200b1111\u200b1111\u200b1111"
    assert redacted(text, EVERYTHING.find(text)) == "‹card number removed›"


def test_what_only_looks_alike_stays() -> None:
    for text in (
        "Part 1234567890123, order 4111 1111 1111 1113, no. 7, 000-12-3456, 666-12-3456",
        "Version 1.2.3, 10:30, 2024-11-28, 3.14159, 12,000 pieces, a@b, AB12 CDEF",
        "DE89 3704 0044 0532 0130 01 is no account; 999.1.1.1 is no address",
    ):
        assert PersonalData(("card", "iban", "ssn", "ip", "email"), "").find(text) == []
    for text in (
        "Your password: correct-horse-battery-staple. The secret is patience, the key is kindness.",
        "AKIA is short, sk-learn is a library, eyJ is a beginning, lq_live_ is a prefix",
        "token = the_smallest_unit_of_text",
    ):
        assert Credentials().find(text) == []


def test_assignments_of_noise_are_secrets() -> None:
    text = "Set API_KEY = 'zX81kQ0pLm2VtR7wY3bN' and password: hunter2"
    assert redacted(text, Credentials().find(text)) == "Set API_KEY = '‹secret removed›' and password: hunter2"
    assert streamed(Credentials(), text, [1]) == "Set API_KEY = '‹secret removed›' and password: hunter2"
    assert is_noise("zX81kQ0pLm2VtR7wY3bN")
    assert not is_noise("aaaaaaaaaaaa1111")


def test_ordinary_words_do_not_wait() -> None:
    for check in (Credentials(), PersonalData(("card", "ssn"), "")):
        redactor = Redactor(check)
        words = ["The ", "lamp ", "costs ", "forty ", "euros, ", "ships ", "today", "."]
        assert [redactor.feed(word) for word in words] == words


def test_a_private_key_that_never_ends_is_not_shown() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0\n" * 60
    assert streamed(Credentials(), text, [5]) == "‹private key removed›"


@pytest.mark.parametrize(
    "unit", ["4", "4111 ", "1-", "a@", "eyJ", "AKIA", "-----BEGIN ", "key=", "+1 (", "AB12", ":", "((", "x.", " "]
)
def test_a_long_text_of_anything_ends(unit: str) -> None:
    """What takes more time than its length would take hours."""
    text = unit * (300_000 // len(unit))
    for check in (Credentials(), EVERYTHING):
        check.find(text)
        check.pending(text)
