"""Personal questions: what is about the person who asks, or about this moment, has no answer for others.

The rules know English and German, and of French, Spanish and Italian the words for "my" and "today".
"""

import re
from collections.abc import Iterable

MAX_CHARS = 400
"""A longer question is one of a kind."""
MIN_NAME = 3
"""Letters of a name that say something when a question has them."""

_MINE = (
    "my|mine|myself|ours?|ourselves|(?:near|around|for|about|to|of|with|from|by|against) (?:me|us)"
    "|mein(?:e[mnrs]?|s)?|meinerseits|unser(?:e[mnrs]?|s)?"
    "|(?:bei|für|fuer|mit|von|über|gegen|an|zu|nach) (?:mir|mich|uns)"
    "|mon|ma|mes|mi|mis|mío|mía|mio|mia|miei|mie"
)
_SELF = (
    "(?:am|was|did|have|had) (?:i|we)|call me|it's me"
    "|(?:i|we)(?:'m| am|'ve| have(?! to)| had| was| were| got| paid| ordered| bought| booked| lost| live| work)"
    "|(?:bin|war|habe|hab|hatte|wurde) (?:ich|wir)"
    "|(?:ich|wir) (?:bin|sind|war|waren|hab|habe|haben|hatte|hatten|wurde|wohne|heisse)"
)
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_TAGE = "montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag"
_NOW = (
    "today|tonight|tomorrow|yesterday|now|nowadays|currently|current|at the moment|right away|latest|recent(?:ly)?"
    f"|(?:this|next|last|past|coming) (?:week(?:end)?|month|year|quarter|season|morning|afternoon|evening|{_DAYS})"
    r"|(?:still|already|yet) (?:open|closed|available)|(?:in|within) \d+ (?:minutes|hours|days)"
    "|heute|morgen|übermorgen|gestern|vorgestern|jetzt|gerade|aktuell(?:e[mnrs]?)?|derzeit(?:ige[mnrs]?)?|momentan"
    "|(?:diese[mnrs]?|nächste[mnrs]?|letzte[mnrs]?|kommende[mnrs]?|vergangene[mnrs]?)"
    f" (?:woche|monats?|jahr(?:es)?|wochenende|quartal|{_TAGE})"
    "|aujourd'hui|demain|hoy|mañana|ayer|ahora|oggi|domani|ieri|adesso"
)
_HERE = (
    "here|nearby|nearest|closest|hier|in der nähe|nächstgelegene[mnrs]?|nächste[mnrs]? (?:filiale|laden|haltestelle)"
)
_NUMBERED = (
    "order|booking|ticket|invoice|customer|account|case|contract|tracking|reference|member(?:ship)?|policy|iban|card"
    r"|(?:bestell|buchung|rechnung|kunden|konto|vertrag|sendung|auftrag|vorgang|mitglied)\w*"
)
_RULES = (
    ("about the person", re.compile(rf"\b(?:{_MINE}|{_SELF})\b")),
    ("about this moment", re.compile(rf"\b(?:{_NOW})\b")),
    ("about this place", re.compile(rf"\b(?:{_HERE})\b")),
    (
        "has a number of something",
        re.compile(rf"\b(?:{_NUMBERED})(?: (?:no\.?|nr\.?|number|nummer|id|code))?[\s:#]*[a-z]{{0,4}}[-/ ]?\d{{3,}}"),
    ),
    (
        "has an identifier",
        re.compile(r"#\s?\d{3,}|\b\d{5,}\b|\b(?=\w*[a-z])(?=\w*\d{4})\w{6,}\b|\b[a-z]{1,4}[-/]\d{4,}\b"),
    ),
    ("has a telephone number", re.compile(r"(?:\+|\b00)\d[\d\s()/-]{6,}|\b0\d{2,5}[\s/-]\d{3,}")),
    (
        "has an address or a date",
        re.compile(
            r"\S@\S+\.\w|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d{4}-\d{2}-\d{2}\b|\bhttps?://"
        ),
    ),
)


def personal(question: str, names: Iterable[str] = ()) -> str | None:
    """Why the answer to a question is for one person or one moment only; None when it is for everybody.

    `names` are those of the person who asks. Wrong towards caution: what is refused here is answered anew.
    """
    if len(question) > MAX_CHARS:
        return "is long"
    text = " ".join(question.replace("’", "'").casefold().split())
    for reason, rule in _RULES:
        if rule.search(text):
            return reason
    for name in names:
        named = name.strip().casefold()
        if len(named) >= MIN_NAME and re.search(rf"(?<!\w){re.escape(named)}(?!\w)", text):
            return "names who asks"
    return None
