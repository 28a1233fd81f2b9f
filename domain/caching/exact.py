"""The same words: how questions are compared letter by letter."""

import unicodedata


def exact_form(question: str) -> str:
    """Without what changes nothing: case, white space, and punctuation at the end."""
    text = unicodedata.normalize("NFKC", question).casefold()
    return " ".join(text.split()).rstrip(" ?!.…")
