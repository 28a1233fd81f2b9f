"""How sure the best passages make it that the documents answer at all: "not in the documents" is an answer as well."""

import math
from collections.abc import Iterable

from domain.words import stems

JUDGED = 5
"""How many of the best passages are looked at."""
UNKNOWN = 0.5
"""The part of a question's words that passages hold, where a question has no words to look for."""


def relevance(similarity: float | None, shared: float) -> float:
    """0 to 1. `similarity` is the best passage's cosine to the question, None where nothing was compared; `shared` the
    part of the question's words that the passage with most of them holds.

    Logistic regression on XQuAD in English and German, all-MiniLM-L6-v2: 24 articles of 48, asked about with and
    without the article among the documents; benchmarks/retrieval.py measures it on the others.
    """
    if similarity is None:
        x = 13.1 * shared - 6.5
    else:
        # Questions of XQuAD use their paragraph's words; whoever asks in words of their own is answered all the same.
        x = max(14.9 * similarity + 8.9 * shared - 10.0, 20.0 * similarity - 8.4)
    return 1.0 / (1.0 + math.exp(-x))


def shared_words(question: str, texts: Iterable[str]) -> float:
    """The largest part of the question's words, in any of their forms, that one of the texts holds."""
    wanted = stems(question)
    if not wanted:
        return UNKNOWN
    return max((len(wanted & stems(text)) / len(wanted) for text in texts), default=0.0)
