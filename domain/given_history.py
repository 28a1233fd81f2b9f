"""A conversation that a caller brings along: which exchanges it holds, the question at its end, and its fingerprint."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from domain.errors import InvalidInput

Said = tuple[str, str]
"""Role, `user` or `assistant`, and text."""
MAX_EXCHANGES = 10
"""As many as a turn remembers."""


@dataclass(frozen=True, slots=True)
class GivenHistory:
    exchanges: tuple[tuple[str, str], ...]
    """Question and answer, oldest first; at most MAX_EXCHANGES, the newest."""
    question: str
    earlier: tuple[Said, ...]
    """All before the question."""


def history_of(said: Sequence[Said]) -> GivenHistory:
    """Messages of one role in a row are one; an answer without a question before it, as a greeting is, is left out.

    Raises InvalidInput when the last message is not the user's, or says nothing.
    """
    merged: list[Said] = []
    for role, text in said:
        if merged and merged[-1][0] == role:
            merged[-1] = (role, f"{merged[-1][1]}\n\n{text}")
        else:
            merged.append((role, text))
    if not merged or merged[-1][0] != "user" or not merged[-1][1].strip():
        raise InvalidInput("The last message must be the user's question.")
    earlier = tuple(merged[:-1])
    exchanges = [
        (before[1], after[1]) for before, after in pairwise(earlier) if before[0] == "user" and after[0] == "assistant"
    ]
    return GivenHistory(tuple(exchanges[-MAX_EXCHANGES:]), merged[-1][1], earlier)


def fingerprint(earlier: Sequence[Said]) -> str:
    """The same for the same messages in the same order, hexadecimal SHA-256."""
    return hashlib.sha256(json.dumps([list(one) for one in earlier], ensure_ascii=False).encode("utf-8")).hexdigest()
