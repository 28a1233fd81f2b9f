"""Finds the earlier exchanges of a conversation that a question comes back to, by the words they share."""

import math
from collections.abc import Sequence

from domain.generation import PromptMessage
from domain.words import stems

Exchange = tuple[PromptMessage, PromptMessage]
"""What was asked and what was answered."""
ASKED = 1.5
"""How much more a word of the visitor's own question counts than one that only the answer has."""


def recalled(question: str, earlier: Sequence[Exchange], most: int) -> list[int]:
    """Places in `earlier` of the exchanges that share words with the question, best first.

    A word counts the less the more of the exchanges have it (the inverse document frequency of Okapi BM25; exchanges
    are short, so how often one has the word, and how long it is, are left out).
    """
    wanted = stems(question)
    if not wanted or not earlier:
        return []
    held = [stems(asked.content) | stems(answered.content) for asked, answered in earlier]
    in_question = [stems(asked.content) for asked, _ in earlier]
    total = len(held)
    weights = {}
    for stem in wanted:
        having = sum(stem in one for one in held)
        weights[stem] = math.log(1 + (total - having + 0.5) / (having + 0.5)) if having else 0.0
    scores = [
        sum(weights[stem] * (ASKED if stem in asked else 1.0) for stem in wanted & one)
        for one, asked in zip(held, in_question, strict=True)
    ]
    found = [place for place, score in enumerate(scores) if score > 0.0]
    # Of two that say as much the later one is more likely still true.
    return sorted(found, key=lambda place: (-scores[place], -place))[:most]
