"""How hard a question is to answer well, from its words alone and from how sure retrieval is: 0 is easy, 1 is hard."""

import math
import re
from dataclasses import dataclass

LONGEST = 1_000
"""Characters that are looked at."""
THRESHOLD = 0.4
"""From here on a question is a hard one."""
LEAST_SURE = 0.5
"""Retrieval is in doubt below this relevance."""

_CODE = re.compile(
    r"```|[;{}]\s*$|=>|->|\(\)|\b(?:def|class|import|SELECT|function|const|void|npm|pip|curl|regex|JSON|YAML|SQL"
    r"|Traceback|Exception|stack ?trace|script|code snippet|Skript|Codebeispiel)\b",
    re.MULTILINE,
)
_SIGNS: dict[str, re.Pattern[str]] = {
    "maths": re.compile(
        r"\d\s*[-+*/×÷^%]\s*\d|\b(?:calculate|compute|add up|sum of|in total|altogether|average|percentage of"
        r"|per cent of|how much would|how many .{1,40} would|how long would"
        r"|berechne|rechne|insgesamt|zusammen(?:gerechnet)?"
        r"|durchschnitt\w*|wie ?viel (?:würde|kostet es .* wenn))\b",
    ),
    "comparison": re.compile(
        r"\b(?:compar(?:e[sd]?|ing|ison (?:of|between|with))|differences? (?:between|of|in|to)|differ|versus|vs\.?"
        r"|(?:better|cheaper|faster|\w+er|more \w+|less \w+|rather) than|how much (?:cheaper|more|less)"
        r"|pros and cons|advantages?|disadvantages?|trade-?offs?|contradict\w*|which (?:one|is (?:better|cheaper))"
        r"|which of the (?:two|three|four|five|\d)|worth|pays? off|unterschiede?|unterscheide\w*|vergleiche?|verglichen"
        r"|(?:besser|günstiger|\w+er) als|wie viel (?:günstiger|teurer|mehr)|vor- und nachteile|vorteile?|nachteile?"
        r"|welche[rs]? (?:von|ist besser|ist günstiger)|widersprech\w*|lohnt|lohnen)\b",
    ),
    "reasoning": re.compile(
        r"\b(?:why|explain|analy[sz]e|reason for|evaluate|assess|justify|recommend|suggest|advise|should (?:i|we)"
        r"|in what way|to what extent|implications?|consequences?|risks?|root cause|troubleshoot|depends?|affects?"
        r"|interpret|liable|who is right|arguments?|speaks? (?:for|against)|fair(?:ly)?|work together|relates? to"
        r"|everything (?:that|about)|haftet?|haftung|spricht (?:für|gegen)|argumente?|gerecht|hängen .{1,60} zusammen"
        r"|zusammenhang|wer hat recht|worauf .{1,40} achten|alles,? was"
        r"|diagnose|derive|prove|figure out|warum|wieso|weshalb|inwiefern|inwieweit"
        r"|erklär(?:e|en)?|begründen?|analysier\w*|bewerten?|empfiehl\w*|empfehl\w*|sollte (?:ich|man)|sollten wir"
        r"|welche folgen|ursachen?|risik\w+|auswirk\w*|wirkt sich|hängt .{0,20}\bab|wovon hängt)\b",
    ),
    "advice": re.compile(
        r"\b(?:how (?:should|would|could|best|can (?:we|a|an|one))|what (?:would|should|could) (?:you|we|i)"
        r"|what would happen|what happens|best way|my options|options (?:do|are)|(?:steps?|parts?|what) (?:is"
        r"|are) (?:still )?missing"
        r"|how (?:do|can|shall) (?:we|i) (?:best )?(?:divide|split|organi[sz]e|share|plan|combine|prevent|avoid"
        r"|arrange)"
        r"|wie (?:verteile|teile|organisiere|plane|kombiniere|verhindere|vermeide)n? (?:ich|wir|man)|(?:schritte?"
        r"|was) fehl\w+"
        r"|help (?:me|us) (?:to )?(?:decide|choose|find out)|decide (?:whether|between)|without \w+ing"
        r"|am besten|am sinnvollsten|wie (?:sollte|würde|könnte)\w*|was (?:sollte|würde|könnte)\w* (?:ich|man|wir)"
        r"|was passiert|welche (?:möglichkeiten|optionen)|hilf (?:mir|uns)|entscheiden,? ob|ohne .{1,40} zu \w+en)\b",
    ),
    "writing": re.compile(
        r"(?:^|[.!?:;,\"]\s*|\b(?:please|bitte|kindly|(?:can|could|would|will) you|help me|and|und|i need you to"
        r"|(?:kannst|könntest) du|(?:können|könnten) sie)\s+(?:(?:me|mir|to|bitte|please|also|a|an|ein\w*)\s+)?)"
        r"(?:summari[sz]e|write|draft|check|find (?:the|a|all|every) (?:mistake|error|best|differen)\w*|organi[sz]e"
        r"|sort|rank|put (?:the|this|these)"
        r"|prepare|describe|interpret|arrange|prioriti[sz]e|classify|show (?:me |us )?how|(?:name|list"
        r"|tell me) (?:three|two|four|five|\d+|all)"
        r"|rewrite|rephrase|review|proofread|shorten|translate|outline|list all|propose|design"
        r"|create|convert|compose|make (?:it|me|us|a|an|the)|turn|plan a|give (?:me|us) (?:a|an|some|three"
        r"|\d+) (?!call|ring)"
        r"(?:\w+[- ]){0,3}(?:guide|list|table|plan|outline|example|overview|summary|checklist|ideas?|tips)"
        r"|fasse?|schreibe?|verfasse|entwirf|übersetze?|überarbeite|kürze|formuliere?|erstelle?|prüfe?|ordne|sortiere"
        r"|beschreibe?|stelle? (?:mir|uns)|übertrage?"
        r"|bereite|interpretiere|plane?|nennen? (?:sie )?(?:mir |uns )?(?:zwei|drei|vier|fünf|\d+|alle)|finde (?:den"
        r"|die) (?:fehler|beste)"
        r"|liste alle|mach (?:mir|uns|eine?)"
        r"|gib (?:mir|uns) ein\w*|rechne|wandle)\b"
        r"|\b(?:step[- ]by[- ]step|schritt für schritt|zusammenfassung (?:von|der|des)|(?:a|the) summary of the"
        r"|zusammenfassen|umformulieren|übersetzen)\b",
    ),
    "trouble": re.compile(
        r"\b(?:still (?:no|not|nothing)|no longer|(?:does|do|did|will|would|can)(?: not|n't|not) (?:work|start|open"
        r"|load|help|connect)"
        r"|won't|keeps? \w+ing|no matter|fails?|crash\w*|is (?:empty|broken|stuck)|stopped \w+ing|again and again"
        r"|nicht mehr|hilft .{0,20}nicht|funktionier\w* nicht|immer noch (?:nicht|kein\w*)|ständig|stürzt .{0,20}ab"
        r"|egal,? (?:was|wie|welche\w*))\b",
    ),
    "hypothesis": re.compile(
        r"\b(?:suppos(?:e|ing)|imagine|assum(?:e|ing)|what if|given (?:that|the|our|these|my)|provided that|even though"
        r"|although|angenommen|gesetzt den fall|vorausgesetzt|obwohl|was wäre|wie (?:hoch|lange|viel"
        r"|teuer) (?:wäre\w*|würde\w*)|stell dir vor|in anbetracht|angesichts)\b",
    ),
    "condition": re.compile(
        r"\b(?:if|unless|in case|(?<!tell me )(?<!know )when (?:the|a|an|only|one)|except(?:ions?)?|falls|wenn|sofern"
        r"|außer|ausnahmen?)\b",
    ),
}
_JOINED = re.compile(
    r"[,;]?\s+(?:(?:and|or)\s+(?:how|what|when|where|which|who|why|is|are|can|do|does)"
    r"|(?:und|oder)\s+(?:wie|was|wann|wo|welche\w*|wer|warum|ist|sind|kann|kannst|können))\b",
)
_AMOUNT = re.compile(r"\d[\d.,]*|\b(?:two|three|four|five|six|zwei|drei|vier|fünf|sechs)\b")
_NAMES = {"amounts": "several amounts", "unsure": "little found"}
_QUESTION = re.compile(r"[?？؟]+")
WEIGHTS = {
    "code": 2.55,
    "maths": 0.66,
    "comparison": 4.37,
    "reasoning": 5.16,
    "amounts": 3.7,
    "trouble": 3.64,
    "advice": 4.77,
    "writing": 5.15,
    "hypothesis": 2.94,
    "condition": 1.99,
    "questions": 2.55,
    "words": 2.8,
    "unsure": 0.7,
}
_BIAS = -1.9


@dataclass(frozen=True, slots=True)
class Difficulty:
    score: float
    """0 to 1, see THRESHOLD."""
    signals: tuple[str, ...]
    """What speaks for a hard question, the strongest first."""


def difficulty_of(question: str, relevance: float | None = None) -> Difficulty:
    """`relevance` is how sure retrieval is that the documents answer, 0 to 1; None where nobody knows.

    Logistic regression over a few signs, in English and German; what another language shares are length, number of
    questions, code and digits. Fitted by `benchmarks/difficulty_fit.py` to one half of
    tests/fixtures/difficulty.yaml; the tests judge it by the other.
    """
    features = signs_of(question)
    if relevance is not None and relevance < LEAST_SURE:
        features["unsure"] = (LEAST_SURE - relevance) / LEAST_SURE
    parts = {name: WEIGHTS[name] * value for name, value in features.items()}
    score = 1.0 / (1.0 + math.exp(-(_BIAS + sum(parts.values()))))
    text = _plain(question)
    names = {"words": f"{len(text.split())} words", "questions": f"{_asked(text)} questions"} | _NAMES
    strongest = sorted((name for name, part in parts.items() if part >= 0.5), key=lambda name: -parts[name])
    return Difficulty(round(score, 3), tuple(names.get(name, name) for name in strongest))


def signs_of(question: str) -> dict[str, float]:
    """What its words show, by the names of WEIGHTS; what is not there is left out."""
    text = _plain(question)
    words, asked = len(text.split()), _asked(text)
    found = {name: 1.0 for name, sign in _SIGNS.items() if sign.search(text)}
    if _CODE.search(question[:LONGEST]):
        found["code"] = 1.0
    if asked > 1:
        found["questions"] = min(2.0, asked - 1.0)
    if words > 12:
        found["words"] = min(1.0, (words - 12) / 40)
    if (amounts := len(_AMOUNT.findall(text))) > 1:
        found["amounts"] = min(2.0, amounts - 1.0)
    return found


def _plain(question: str) -> str:
    """In small letters, with one space for all white space, which patterns would go over again and again."""
    return " ".join(question[:LONGEST].lower().split())


def _asked(text: str) -> int:
    """How many questions there are, at least one."""
    return max(1, len(_QUESTION.findall(text))) + len(_JOINED.findall(text))
