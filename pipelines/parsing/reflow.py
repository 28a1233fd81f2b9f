"""Reflow of printed lines: what the page's width broke is joined again, what the author broke stays broken."""

import re
from collections.abc import Iterable, Iterator, Sequence

MIN_WIDTH = 30
"""Pages whose lines are all shorter than this (tables, slides) are left as they are."""
FILLED = 0.85
"""Proportional letters make lines of one width differ in length; a line is full from this share of the usual one."""

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ACROSS_LINES = re.compile(r"(?<![^\W\d_])[^\W\d_]++-\n[^\W\d_]++")
_BROKEN_WORD = re.compile(r"([^\W\d_]{2,})-\Z")
_NEXT_WORD = re.compile(r"[^\W\d_]+")
_BULLET = re.compile(r"[•‣◦▪·*–—-]\s|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s")
_SENTENCE_END = re.compile(r"[.!?:…。！？]['\"”’)\]]*\Z")


class Reflow:
    """Knows the words of a whole document, in order to tell a broken word from a compound with a hyphen."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words: set[str] = set()
        for text in texts:
            self._words.update(word.lower() for word in _WORD.findall(_ACROSS_LINES.sub(" ", text)))

    def paragraphs(self, lines: Sequence[str], width: int) -> Iterator[str]:
        """Paragraphs of printed lines, where `width` is the usual length of a full line, in characters.

        Lines that were not wrapped keep their line break.
        """
        parts: list[str] = []
        for line, previous in zip(lines, ["", *lines], strict=False):
            wrapped = bool(parts and line) and _wrapped(previous, line, width)
            if parts and not wrapped and (not line or _SENTENCE_END.search(previous[-8:])):
                yield "".join(parts)
                parts = []
            if not line:
                continue
            if wrapped:
                self._join(parts, line)
            elif parts:
                parts.append("\n" + line)
            else:
                parts.append(line)
        if parts:
            yield "".join(parts)

    def _join(self, parts: list[str], line: str) -> None:
        """Append a line that continues the last one; a word broken there becomes whole."""
        first, second = _BROKEN_WORD.search(parts[-1][-60:]), _NEXT_WORD.match(line)
        if first is None or second is None or not second[0][0].islower():
            parts.append(" " + line)
            return
        left, right = first[1].lower(), second[0].lower()
        known = left + right in self._words
        compound = f"{left}-{right}" in self._words or (left in self._words and right in self._words)
        if known or not compound:
            parts[-1] = parts[-1][:-1]
        parts.append(line)


def usual_width(lines: Sequence[str]) -> int:
    """Length of a full line, in characters: the ninth decile, so that one stray long line does not set it."""
    lengths = sorted(len(line) for line in lines if line)
    return lengths[int(len(lengths) * 0.9)] if lengths else 0


def _wrapped(line: str, following: str, width: int) -> bool:
    """Whether the line ended because the next word did not fit."""
    if width < MIN_WIDTH or _BULLET.match(following):
        return False
    return len(line) + 1 + len(following.split(" ", 1)[0]) >= FILLED * width
