"""How hard a question is to answer well, from its words alone and from how sure retrieval is: 0 is easy, 1 is hard."""

import math
import re
from dataclasses import dataclass

LONGEST = 1_000
"""Characters that are looked at."""
THRESHOLD = 0.4
"""From here on a question is a hard one: midway between the hardest easy question and the easiest hard one of those
that the weights were fitted to."""
LEAST_SURE = 0.5
"""Retrieval is in doubt below this relevance."""

_I = re.IGNORECASE
_SIGNS: dict[str, re.Pattern[str]] = {
    "code": re.compile(
        r"```|[;{}]\s*$|=>|->|\(\)|\b(?:def|class|import|SELECT|function|const|void|npm|pip|curl|regex|JSON|YAML|SQL"
        r"|Traceback|Exception|stack ?trace|script|code snippet|Skript|Codebeispiel)\b",
        re.MULTILINE,
    ),
    "maths": re.compile(
        r"\d\s*[-+*/×÷^%]\s*\d|\b(?:calculate|compute|add up|sum of|in total|altogether|average|percentage of"
        r"|per cent of|how much would|how many .{1,40} would|how long would"
        r"|berechne|rechne|insgesamt|zusammen(?:gerechnet)?"
        r"|durchschnitt\w*|wie ?viel (?:würde|kostet es .* wenn))\b",
        _I,
    ),
    "comparison": re.compile(
        r"\b(?:compar\w+|difference\w*|differ|versus|vs\.?|better than|cheaper than|rather than|pros and cons"
        r"|advantages?|disadvantages?|trade-?offs?|which (?:one|of)|unterschied\w*|unterscheide\w*|vergleich\w*"
        r"|besser als|günstiger als|vor- und nachteile|vorteile?|nachteile?|welche[rs]? (?:von|ist besser))\b",
        _I,
    ),
    "reasoning": re.compile(
        r"\b(?:why|explain|analy[sz]e|reason|evaluate|assess|justify|recommend|suggest|should (?:i|we)"
        r"|what would happen|implications?|consequences?|root cause|troubleshoot"
        r"|diagnose|derive|prove|figure out|warum|wieso|weshalb"
        r"|erklär\w*|begründe\w*|analysier\w*|bewerte\w*|empfiehl\w*|empfehl\w*|sollte (?:ich|man)|sollten wir"
        r"|was passiert|welche folgen|ursache\w*)\b",
        _I,
    ),
    "writing": re.compile(
        r"\b(?:summari[sz]e|summary|write|draft|rewrite|translate|outline|step[- ]by[- ]step|plan for|list all|table of"
        r"|fasse|zusammenfassung|schreib\w*|verfasse\w*|entwirf|übersetze\w*|schritt für schritt|erstelle\w*|liste alle"
        r"|plan für)\b",
        _I,
    ),
    "condition": re.compile(
        r"\b(?:if|unless|assuming|given that|in case|provided that|even though|although|except|falls|wenn|sofern"
        r"|vorausgesetzt|obwohl|angenommen|außer)\b",
        _I,
    ),
}
_JOINED = re.compile(
    r"[,;]?\s+(?:and|or|und|oder)\s+(?:how|what|when|where|which|who|why|is|are|can|does|do|wie|was|wann|wo|welche\w*"
    r"|wer|warum|ist|sind|kann|kannst|können)\b",
    _I,
)
_QUESTION = re.compile(r"[?？؟]+")
_WEIGHTS = {
    "code": 1.6,
    "maths": 1.6,
    "comparison": 2.1,
    "reasoning": 2.3,
    "writing": 2.5,
    "condition": 1.3,
    "questions": 1.5,
    "words": 1.1,
    "unsure": 0.7,
}
_BIAS = -1.4


@dataclass(frozen=True, slots=True)
class Difficulty:
    score: float
    """0 to 1, see THRESHOLD."""
    signals: tuple[str, ...]
    """What speaks for a hard question, the strongest first."""


def difficulty_of(question: str, relevance: float | None = None) -> Difficulty:
    """`relevance` is how sure retrieval is that the documents answer, 0 to 1; None where nobody knows.

    Logistic regression over a few signs, in English and German; what another language shares are length, number of
    questions, code and digits. Fitted to one half of tests/fixtures/difficulty.yaml; the tests judge it by the other.
    """
    features, words, asked = _features(question[:LONGEST], relevance)
    parts = {name: _WEIGHTS[name] * value for name, value in features.items()}
    score = 1.0 / (1.0 + math.exp(-(_BIAS + sum(parts.values()))))
    names = {"words": f"{words} words", "questions": f"{asked} questions", "unsure": "little found"}
    strongest = sorted((name for name, part in parts.items() if part >= 0.5), key=lambda name: -parts[name])
    return Difficulty(round(score, 3), tuple(names.get(name, name) for name in strongest))


def _features(text: str, relevance: float | None) -> tuple[dict[str, float], int, int]:
    words = len(text.split())
    asked = max(1, len(_QUESTION.findall(text))) + len(_JOINED.findall(text))
    found = {name: 1.0 for name, sign in _SIGNS.items() if sign.search(text)}
    if asked > 1:
        found["questions"] = min(2.0, asked - 1.0)
    if words > 12:
        found["words"] = min(1.0, (words - 12) / 40)
    if relevance is not None and relevance < LEAST_SURE:
        found["unsure"] = (LEAST_SURE - relevance) / LEAST_SURE
    return found, words, asked
