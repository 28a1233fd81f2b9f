"""Chooses the passages that support an answer, and the sentence of each that supports it most."""

import re
from collections.abc import Sequence

from domain.conversation import Citation
from domain.documents import Passage
from domain.words import content_words

MAX_CITATIONS = 3
MAX_SNIPPET = 400
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|[.!?]+|\n+|$)")


def cite(question: str, answer: str, passages: Sequence[Passage]) -> list[Citation]:
    """At most three citations, best supported first; none without passages or without an answer.

    Support is the share of the answer's content words that the passage holds. A passage counts when it supports
    nearly as much as the best one; the model saw passages in rank order, so ties go to the higher rank.
    """
    if not passages or not answer.strip():
        return []
    wanted = content_words(answer)
    asked = content_words(question)
    support = [len(wanted & content_words(p.text)) / max(len(wanted), 1) for p in passages]
    best = max(support)
    if best == 0:
        order = [0]
    else:
        order = sorted(range(len(passages)), key=lambda i: (-round(support[i], 2), i))
        order = [i for i in order if support[i] >= max(0.3, 0.85 * best) or support[i] == best][:MAX_CITATIONS]
    citations = []
    for position, index in enumerate(order, start=1):
        passage = passages[index]
        start, end = _best_sentence(passage.text, wanted, asked)
        citations.append(
            Citation(
                position=position,
                document_id=passage.document_id,
                document_name=passage.document_name,
                page=passage.page,
                section=passage.section,
                start=passage.start + start,
                end=passage.start + end,
                snippet=passage.text[start:end],
            )
        )
    return citations


def _best_sentence(text: str, wanted: set[str], asked: set[str]) -> tuple[int, int]:
    """Span of the sentence with most words of the answer, then of the question."""
    best, best_score = (0, min(len(text), MAX_SNIPPET)), -1.0
    for match in _SENTENCE.finditer(text):
        sentence = match.group()
        if not sentence.strip():
            continue
        words = content_words(sentence)
        score = 2.0 * len(words & wanted) + len(words & asked)
        if score > best_score:
            lead = len(sentence) - len(sentence.lstrip())
            start = match.start() + lead
            best, best_score = (start, min(start + len(sentence.strip()), start + MAX_SNIPPET)), score
    return best
