"""Text as its reader takes it: entities, escapes, invisible characters and look-alikes undone. For checks only."""

import html
import re
import unicodedata

_RANGES = (
    (0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE0FFF),
)  # fmt: skip
INVISIBLE: dict[int, None] = {code: None for first, last in _RANGES for code in range(first, last + 1)}
"""Controls and format characters, for `str.translate`: nobody sees them, and they take words apart."""

_LOOK_ALIKES = str.maketrans(
    "авекмнорстухіјѕԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορνιγκ∕⁄⧸。․‐‑‒–—",
    "abekmhopctyxijsdqwhABEZHIKMNOPTYXaopviyk///..-----",
)
"""Cyrillic, Greek and punctuation that pass for ASCII; the beginning of Unicode's confusables, by hand."""
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def decoded(text: str) -> str:
    """What a Markdown renderer makes of a piece of text, in lower case: as long as `text`, give or take."""
    if "&" in text:
        # Twice, because some renderers decode what others encode.
        text = html.unescape(html.unescape(text))
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    return plain(text)


def folded(text: str) -> str:
    """Lower case, without invisible characters and compatibility forms; every script stays itself."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text.translate(INVISIBLE)).lower()


def plain(text: str) -> str:
    """As `folded`, and look-alikes become ASCII: other scripts are not readable afterwards."""
    return text.lower() if text.isascii() else folded(text).translate(_LOOK_ALIKES)


def both(text: str) -> str:
    """Folded, and plain below it where that differs: for patterns that may be of any script."""
    seen = folded(text)
    if seen.isascii():
        return seen
    twin = seen.translate(_LOOK_ALIKES)
    return seen if twin == seen else f"{seen}\n{twin}"
