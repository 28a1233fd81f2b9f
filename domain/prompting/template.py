"""Templates: text with names in double braces, each put in once; no logic, and nothing put in is read again."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_SLOTS = 50
VISITOR = "visitor."
"""What the names of a visitor's attributes begin with; those of others have no dot."""
NAME = r"[a-z][a-z0-9_]{0,31}"
_INSIDE = re.compile(rf"\s*((?:visitor\.)?{NAME})\s*(?:\|([^{{}}|]*))?")


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    """With `visitor.` before an attribute's."""
    otherwise: str
    """Stands where the value is empty."""
    at: int
    """Where it begins in the template, in characters."""


Part = str | Slot


class BrokenTemplate(ValueError):
    """Says the line and the column, both from 1, and what is wrong there."""


@lru_cache(maxsize=512)
def parse(template: str) -> tuple[Part, ...]:
    """Text and slots in order. Raises BrokenTemplate.

    `{{name}}` is a slot, and `{{name|text}}` one with a text for where the value is empty. Braces alone, and two that
    close without two that opened, are text.
    """
    parts: list[Part] = []
    slots, at = 0, 0
    while (begin := template.find("{{", at)) >= 0:
        end = template.find("}}", begin + 2)
        if end < 0:
            raise broken(template, begin, "'{{' has no '}}' behind it")
        inside = _INSIDE.fullmatch(template, begin + 2, end)
        if inside is None:
            shown = template[begin : min(end + 2, begin + 60)]
            raise broken(template, begin, f"{shown!r} is no name in small letters, with '|' before a text or without")
        slots += 1
        if slots > MAX_SLOTS:
            raise broken(template, begin, f"there are more than {MAX_SLOTS} names")
        if begin > at:
            parts.append(template[at:begin])
        parts.append(Slot(inside[1], (inside[2] or "").strip(), begin))
        at = end + 2
    if at < len(template):
        parts.append(template[at:])
    return tuple(parts)


def slots_of(template: str) -> list[Slot]:
    """Raises BrokenTemplate."""
    return [part for part in parse(template) if isinstance(part, Slot)]


def check(template: str, known: Sequence[str]) -> None:
    """Raises BrokenTemplate for a name that is not `known`; any attribute of a visitor may be named."""
    for slot in slots_of(template):
        if not slot.name.startswith(VISITOR) and slot.name not in known:
            names = ", ".join((*known, "visitor.NAME"))
            raise broken(template, slot.at, f"there is no {slot.name!r}; there are {names}")


def render(template: str, value_of: Callable[[str], str]) -> str:
    """The template with its values. Raises BrokenTemplate."""
    return "".join(part if isinstance(part, str) else value_of(part.name) or part.otherwise for part in parse(template))


def broken(template: str, at: int, problem: str) -> BrokenTemplate:
    line = template.count("\n", 0, at) + 1
    column = at - (template.rfind("\n", 0, at) + 1) + 1
    return BrokenTemplate(f"line {line}, column {column}: {problem}")
