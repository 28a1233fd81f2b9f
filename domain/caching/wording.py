"""Whether two questions ask the same, by their words: vectors of opposites are as near as those of synonyms.

Similarity of embeddings alone takes "open on Monday?" for "open on Sunday?". Here two questions are the same when they
have the same words that carry meaning, in any order and form, as often negated, with the same numbers, and with every
word in the same part ("from Oslo to Rome").
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from domain.caching.lexicon import DIRECTIONS, EMPTY, NEGATIONS, NUMBERS, PAST, PHRASES, SAME

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|\w+")
_PHRASES = tuple((re.compile(rf"\b(?:{pattern})(?!\w)"), f" {meaning} ") for pattern, meaning in PHRASES)
_KEPT_DIRECTIONS = frozenset(("before", "after", "than", "over", "under", "insteadof"))
"""Directions that are words of meaning as well."""
_ENGLISH = frozenset(("the", "what", "how", "when", "where", "which", "who", "why", "of", "a", "there", "is", "it"))
_ASKING = frozenset(
    (
        *("who", "whom", "whose", "what", "which", "when", "where", "why", "how"),
        *("wer", "wen", "wem", "was", "welche", "welcher", "welches", "welchen", "welchem"),
        *("wann", "wo", "wohin", "woher", "warum", "wieso", "wie", "wieviel"),
    )
)
_WHETHER = frozenset(
    (
        *("do", "does", "did", "is", "are", "was", "were", "can", "could", "may", "might", "will", "would", "should"),
        *("has", "have", "had", "must", "am", "kann", "kannst", "können", "könnte", "könnten", "darf", "dürfen", "ist"),
        *(
            "sind",
            "gibt",
            "hat",
            "haben",
            "habt",
            "muss",
            "müssen",
            "soll",
            "sollen",
            "wird",
            "werden",
            "bietet",
            "bieten",
        ),
    )
)
"""A question that begins so, and has no word of `_ASKING`, is answered with yes or no."""
_PRONOUNS = {"i": "i", "me": "i", "we": "i", "us": "i", "you": "you", "ich": "i", "mich": "i", "wir": "i", "sie": "you"}


@dataclass(frozen=True, slots=True)
class Wording:
    """A question as what it says."""

    words: frozenset[str]
    negations: frozenset[tuple[str, int]]
    parts: frozenset[tuple[str, str]]
    """Directions, each with the word behind it."""
    who: tuple[str, ...]
    """In which order the one who asks and the one who answers come, where both do."""
    whether: bool | None
    """Whether yes or no answers it; None where it has no form, as "opening hours?"."""

    @classmethod
    def of(cls, question: str) -> "Wording":
        text = _plain(question)
        plain = _TOKEN.findall(text)
        who = tuple(dict.fromkeys(_PRONOUNS[word] for word in plain if word in _PRONOUNS))
        # German "was" is "what".
        past = PAST if _is_english(plain) else PAST - {"was"}
        for pattern, meaning in _PHRASES:
            text = pattern.sub(meaning, text)
        words: set[str] = set()
        negations: Counter[str] = Counter()
        parts: set[tuple[str, str]] = set()
        direction = ""
        for token in _TOKEN.findall(text):
            if token in NEGATIONS:
                negations[NEGATIONS[token]] += 1
            if token in DIRECTIONS:
                direction = DIRECTIONS[token]
                if direction in _KEPT_DIRECTIONS:
                    words.add(direction)
                continue
            if token in NEGATIONS or (token in EMPTY and token not in past):
                continue
            word = "past" if token in past else _canonical(token)
            words.add(word)
            if direction:
                parts.add((direction, word))
                direction = ""
        order = who if len(who) > 1 else ()
        return cls(frozenset(words), frozenset(negations.items()), frozenset(parts), order, _whether(plain))

    def asks_the_same(self, other: "Wording") -> bool:
        if self.words != other.words or self.negations != other.negations or self.who != other.who:
            return False
        if None not in (self.whether, other.whether) and self.whether != other.whether:
            return False
        return bool(self.words) and not _contradict(self.parts, other.parts)


def _is_english(plain: list[str]) -> bool:
    return not _ENGLISH.isdisjoint(plain)


def _whether(plain: list[str]) -> bool | None:
    if not (_ASKING - {"was"} if _is_english(plain) else _ASKING).isdisjoint(plain):
        return False
    return True if plain and plain[0] in _WHETHER else None


def _contradict(first: frozenset[tuple[str, str]], second: frozenset[tuple[str, str]]) -> bool:
    """Whether a word has another part in the one than in the other, or a part another word."""
    words, others = {word: direction for direction, word in first}, {word: direction for direction, word in second}
    if any(others.get(word, direction) != direction for word, direction in words.items()):
        return True
    # "To" stands before verbs as well.
    shared = (set(words.values()) & set(others.values())) - {"to"}
    return any(
        {part for part in first if part[0] == one} != {part for part in second if part[0] == one} for one in shared
    )


def _plain(question: str) -> str:
    """Lower case, one space between words, short forms written out."""
    text = unicodedata.normalize("NFKC", question).replace("’", "'").lower()
    text = re.sub(r"\bcan(?:'t|not)\b", "can not", text)
    text = re.sub(r"\bwon't\b", "will not", text)
    text = re.sub(r"n't\b", " not", text)
    text = re.sub(r"'(?:s|re|m|ll|ve|d)\b", " ", text)
    return " ".join(re.sub(r"[^\w\s.,:'/-]", " ", text).split())


def _canonical(token: str) -> str:
    """One form for all forms of a word."""
    if token[0].isdigit():
        return token.rstrip(".,:")
    if token in NUMBERS:
        return NUMBERS[token]
    if token in SAME:
        return SAME[token]
    stem = _stem(token)
    return SAME.get(stem, stem)


def _stem(word: str) -> str:
    """Without the endings of English and German plurals and verbs; rough, but the same for both questions."""
    if any(c.isdigit() for c in word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ern", "es", "ed", "en", "em", "er", "e", "s", "n", "t"):
        if word.endswith(ending) and len(word) - len(ending) >= 4 and not word.endswith("ss"):
            if ending in ("er", "t") and word.isascii():
                continue
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] else word
