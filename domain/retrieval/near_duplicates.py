"""Near duplicates: passages that say the same in nearly the same words."""

from domain.words import words_of

SHINGLE = 3
"""Words in a row that are compared as one."""


class Wording:
    """A text as its set of word triples. Source: Broder, "On the Resemblance and Containment of Documents"."""

    __slots__ = ("numbers", "shingles")

    def __init__(self, text: str) -> None:
        words = words_of(text)
        self.shingles = {tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}
        self.numbers = {word for word in words if any(c.isdigit() for c in word)}

    def resembles(self, other: "Wording", threshold: float) -> bool:
        """Whether they share at least this part of all their triples.

        Texts with other numbers never do: the price lists of two years differ in nothing else.
        """
        if self.numbers != other.numbers:
            return False
        shared = len(self.shingles & other.shingles)
        return shared >= threshold * (len(self.shingles) + len(other.shingles) - shared)
