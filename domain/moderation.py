"""A guard made of named patterns."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


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

    def check(self, text: str) -> str | None:
        """The refusal of the first rule that matches, or None."""
        return next((rule.refusal for rule in self._rules if rule.pattern.search(text)), None)
