"""Tells how much of a bot's instructions an answer repeats, word by word while it streams."""

import re
from collections import deque

WORDS = 6
"""Words of a sequence that is compared: shorter ones are shared by any two texts."""
SHORTEST = 24
"""Words that instructions need to have: what is shorter says nothing worth hiding, and answers repeat it by chance."""
LONGEST_RUN = 20
"""Words on end that are a leak, however long the instructions are."""
_WORD = re.compile(r"\w+")


class LeakMeter:
    def __init__(self, instructions: str) -> None:
        words = _words(instructions)
        self._wanted = {tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}
        if len(words) < SHORTEST:
            self._wanted.clear()
        self._seen: set[tuple[str, ...]] = set()
        self._last: deque[str] = deque(maxlen=WORDS)
        self._run = self._longest = 0
        self._rest = ""

    def feed(self, text: str) -> float:
        """The share of the instructions in the answer so far, 0 to 1; 1 for LONGEST_RUN words on end."""
        if not self._wanted:
            return 0.0
        self._rest += text
        # The last word may go on.
        end = len(self._rest)
        while end and len(self._rest) - end < 100 and (self._rest[end - 1].isalnum() or self._rest[end - 1] == "_"):
            end -= 1
        self._take(self._rest[:end])
        self._rest = self._rest[end:]
        return self.score

    def finish(self) -> float:
        self._take(self._rest)
        self._rest = ""
        return self.score

    @property
    def score(self) -> float:
        if self._longest >= LONGEST_RUN:
            return 1.0
        return len(self._seen) / len(self._wanted) if self._wanted else 0.0

    def _take(self, text: str) -> None:
        for word in _words(text):
            self._last.append(word)
            sequence = tuple(self._last)
            if sequence in self._wanted:
                self._seen.add(sequence)
                self._run = self._run + 1 if self._run else WORDS
                self._longest = max(self._longest, self._run)
            elif len(sequence) == WORDS:
                self._run = 0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
