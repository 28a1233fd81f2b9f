"""The language of a document, told by its letters; the same answer for the same text, always."""

from functools import cache
from typing import Any

PIECE_CHARS = 1_500
PIECES = 4
"""Looked at, from the beginning to the end: a preface or an appendix may be in another language."""
MIN_LETTERS = 24
"""Below that, names and numbers decide, and they have no language."""
CONFIDENT = 0.8


def language_of(text: str) -> str | None:
    """ISO 639-1 code, in lower case; None where the text is too short, mixed, or in no language (code, tables)."""
    sample = _sample(text)
    if sum(character.isalpha() for character in sample) < MIN_LETTERS:
        return None
    language, probability = _identifier().classify(sample)
    # Longer codes are of languages without an ISO 639-1 code, and of text that is none ("zxx").
    return str(language) if probability >= CONFIDENT and len(language) == 2 else None


def _sample(text: str) -> str:
    if len(text) <= PIECE_CHARS * PIECES:
        return text
    step = (len(text) - PIECE_CHARS) // (PIECES - 1)
    return "\n".join(text[start : start + PIECE_CHARS] for start in range(0, step * PIECES, step))


@cache
def _identifier() -> Any:
    # Nearly a second and some memory: only for processes that ingest.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
