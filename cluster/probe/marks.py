"""What the probe looks for in an answer, and what it has found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Find:
    """Something of tenant A that somebody else met."""

    surface: str
    who: str
    what: str


@dataclass
class Report:
    """Of one run. `checks` are counted by the kind of surface, `answers` by status."""

    checks: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    planted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be planted, such as an answer where no model runs: there the probe is blind."""
    finds: list[Find] = field(default_factory=list)

    def add(self, surface: str, who: str, found: Iterable[str]) -> None:
        for what in found:
            find = Find(surface, who, what)
            if find not in self.finds:
                self.finds.append(find)


@dataclass(frozen=True)
class Marks:
    """Texts that exist in tenant A only, by what they are: unguessable words, and ids."""

    words: Mapping[str, str]
    ids: Mapping[str, str]

    def found_in(self, text: str, asked: str = "") -> list[str]:
        """Names of the marks in `text`. An id that was part of the question may come back as its echo."""
        lower, known = text.lower(), asked.lower()
        names = [name for name, word in self.words.items() if word.lower() in lower]
        return names + [
            name for name, value in self.ids.items() if value.lower() in lower and value.lower() not in known
        ]
