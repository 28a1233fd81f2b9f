"""Finds personal data: candidates by pattern, confirmed by the validators of python-stdnum and phonenumbers."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import ip_address

import phonenumbers
from stdnum import iban, luhn
from stdnum.us import ssn

from domain.guarding.checks import Span
from domain.guarding.configuration import GuardrailsConfig

_GAP = "[ \u00a0\u2009\u200a\u202f\u200b-\u200d\u2060\ufeff.\\-\u2010-\u2015_*]"
"""What people, and answers that hide something, put between digits."""
_DIGITS = re.compile(rf"\d+(?:{_GAP}{{1,3}}\d+)*")
_GROUP = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_LOCAL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}$")
_DOMAIN = re.compile(r"@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,250})\.[A-Za-z]{2,24}(?![A-Za-z0-9])")
_PLUS = re.compile(r"\+\d[\d ()./\u00a0-]{5,22}\d(?!\d)")
_NATIONAL = re.compile(r"(?<![\w+])\(?\d[\d ()./\u00a0-]{5,18}\d(?!\w)")
_IP4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)")
_IP6 = re.compile(r"(?<![\w:])[0-9A-Fa-f:]{2,39}(?![\w:])")
_OPEN_DIGITS = re.compile(rf"(?:[+(]?\d(?:[\d()/]|{_GAP})*|[+(])$")
_OPEN_HEX = re.compile(r"(?<![\w:])[0-9A-Fa-f:.]{1,45}$")
_OPEN_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{1,2}(?:\d{1,2}(?:[ \u00a0-]?[A-Za-z0-9])*[ \u00a0-]?)?$")
_OPEN_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}(?:@[A-Za-z0-9.\-]*)?$")
WINDOW = 96
"""How far from the end something may have begun that is not complete, in characters; e-mail addresses: 320."""

Finder = Callable[[str], Iterator[Span]]


def _cards(text: str) -> Iterator[Span]:
    """13 to 19 digits in groups that pass Luhn's check, also in the midst of other numbers."""
    for run in _DIGITS.finditer(text):
        if run.end() - run.start() < 13:
            continue
        groups = [(run.start() + group.start(), group[0]) for group in _GROUP.finditer(run[0])]
        first = 0
        while first < len(groups):
            last = _card_from(groups, first)
            if last is None:
                first += 1
                continue
            yield Span(groups[first][0], groups[last][0] + len(groups[last][1]), "card number")
            first = last + 1


def _card_from(groups: list[tuple[int, str]], first: int) -> int | None:
    """The group with which a card number that begins in group `first` ends."""
    digits, found = "", None
    if unicodedata.digit(groups[first][1][0]) not in (2, 3, 4, 5, 6):
        return None
    for index in range(first, len(groups)):
        if len(digits) + len(groups[index][1]) > 19:
            break
        digits += "".join(str(unicodedata.digit(char)) for char in groups[index][1])
        sizes = {len(group) for _, group in groups[first : index + 1]}
        if len(digits) >= 13 and (min(sizes) > 2 or len(sizes) == 1) and len(set(digits)) > 1 and luhn.is_valid(digits):
            found = index
    return found


def _social_security(text: str) -> Iterator[Span]:
    for match in re.finditer(r"(?<![\d-])\d{3}[- ]\d{2}[- ]\d{4}(?![\d-])", text, re.ASCII):
        if ssn.is_valid(match[0].replace(" ", "-")):
            yield Span(match.start(), match.end(), "social security number")


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        value, end = match[0], match.end()
        while len(value) >= 15:
            if iban.is_valid(value, check_country=False):
                yield Span(match.start(), end, "bank account")
                break
            # The next word of the sentence may hang on it.
            cut = max(value.rfind(mark) for mark in " \u00a0-")
            if cut < 0:
                break
            value, end = value[:cut], match.start() + cut


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at)
        if local and domain:
            yield Span(local.start(), domain.end(), "e-mail address")
        at = text.find("@", domain.end() if domain else at + 1)


def _phones(region: str) -> Finder:
    def find(text: str) -> Iterator[Span]:
        for match in (_NATIONAL if region else _PLUS).finditer(text):
            yield from _phone(match, region or None)
        if region:
            for match in _PLUS.finditer(text):
                yield from _phone(match, None)

    return find


def _phone(match: re.Match[str], region: str | None) -> Iterator[Span]:
    try:
        number = phonenumbers.parse(match[0], region)
    except phonenumbers.NumberParseException:
        return
    if phonenumbers.is_valid_number(number):
        yield Span(match.start(), match.end(), "phone number")


def _addresses(text: str) -> Iterator[Span]:
    for pattern in (_IP4, _IP6):
        for match in pattern.finditer(text):
            if pattern is _IP6 and match[0].count(":") < 2:
                continue
            try:
                ip_address(match[0])
            except ValueError:
                continue
            yield Span(match.start(), match.end(), "IP address")


class PersonalData:
    def __init__(self, kinds: tuple[str, ...], region: str) -> None:
        finders: dict[str, Finder] = {
            "card": _cards,
            "ssn": _social_security,
            "iban": _ibans,
            "email": _emails,
            "phone": _phones(region),
            "ip": _addresses,
        }
        self._finders = [finders[kind] for kind in kinds if kind != "email"]
        self._emails = "email" in kinds
        self._digits_only = not {"iban", "ip"} & set(kinds)
        self._open = [
            pattern
            for pattern, of in (
                (_OPEN_DIGITS, {"card", "ssn", "phone", "ip"}),
                (_OPEN_HEX, {"ip"}),
                (_OPEN_IBAN, {"iban"}),
            )
            if of & set(kinds)
        ]

    def find(self, text: str, since: int = 0) -> list[Span]:
        spans: list[Span] = []
        if self._emails and "@" in text:
            spans += _emails(text)
        # Most of them end with a digit.
        if self._digits_only and not _DIGIT.search(text, since):
            return spans
        for finder in self._finders:
            spans += finder(text)
        return sorted(spans, key=lambda span: (span.start, -span.end))

    def pending(self, text: str) -> int:
        cut = len(text)
        start = max(0, cut - WINDOW)
        last = text[-1:]
        if last.isalnum() and not last.isdigit() and self._digits_only and not self._emails:
            return cut
        for pattern in self._open:
            if match := pattern.search(text, start):
                cut = min(cut, match.start())
        if self._emails and (match := _OPEN_EMAIL.search(text, max(0, len(text) - 320))):
            cut = min(cut, match.start())
        return cut


@lru_cache(256)
def _made(kinds: tuple[str, ...], region: str) -> PersonalData:
    return PersonalData(kinds, region)


def personal_data(config: GuardrailsConfig) -> PersonalData:
    """The check for a bot's kinds of personal data."""
    return _made(config.personal_data_kinds, config.phone_region)
