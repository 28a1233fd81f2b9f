"""A guard made of named patterns, and of words that a bot does not want."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from domain.guarding.plain_text import both

TERM_REFUSAL = "I cannot help with that."


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    pattern: re.Pattern[str]
    refusal: str


class RuleGuard:
    """Checks text against rules in order; the first that matches refuses."""

    def __init__(self, rules: Iterable[tuple[str, str, str]]) -> None:
        """`rules` are (name, regular expression, refusal)."""
        flags = re.IGNORECASE | re.DOTALL
        self._rules = tuple(Rule(name, re.compile(pattern, flags), refusal) for name, pattern, refusal in rules)

    def check(self, text: str, terms: tuple[str, ...] = ()) -> str | None:
        """The refusal of the first rule that matches, or None; `terms` are words that are refused as well."""
        if not text.isascii():
            # Also as its reader takes it: look-alikes and invisible characters hide nothing.
            text = f"{text}\n{both(text)}"
        for rule in self._rules:
            if rule.pattern.search(text):
                return rule.refusal
        return TERM_REFUSAL if terms and _any_of(terms).search(text) else None


@lru_cache(256)
def _any_of(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, terms))})(?!\w)", re.IGNORECASE)
