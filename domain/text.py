"""What counts as text from outside: valid Unicode that PostgreSQL can store, unchanged otherwise."""


def clean_text(text: str) -> str:
    """Return `text` as it is, or raise ValueError for NUL and lone surrogates, which no store keeps."""
    if "\x00" in text:
        raise ValueError("text must not contain NUL characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text must be valid Unicode") from None
    return text
