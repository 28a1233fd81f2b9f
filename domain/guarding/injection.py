"""Scores how much a text tries to give orders to a language model: weighted signs, none of which decides alone."""

from domain.guarding.injection_signs import OTHER_SCRIPTS, SIGNS
from domain.guarding.plain_text import both

MAX_CHARS = 64_000
"""What is longer is looked at in its beginning and its end."""


def injection_score(text: str) -> float:
    """0 to 1: `1 - Π(1 - weight)` over the signs that are there, as if each were independent evidence.

    Linear in the length of the text: every pattern has bounded repetitions.
    """
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"
    seen = both(text)
    doubt = 1.0
    for weight, pattern in SIGNS if seen.isascii() else SIGNS + OTHER_SCRIPTS:
        if pattern.search(seen):
            doubt *= 1 - weight
    return 1 - doubt
