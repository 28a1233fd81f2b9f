"""The words that questions are compared by: what says nothing, what says the same, and what turns a meaning round.

English and German. A word that is in no table stands for itself, so that names, products and rare words have to be the
same in both questions; a table that lacks a synonym costs a hit, never a wrong answer.
"""

PHRASES = (
    # What is asked for. The first match counts; longer ones come first.
    ("how do i get to", "how reach"),
    ("(?:what|which) (?:are the )?steps (?:do i need )?(?:to|for)", "how"),
    ("what (?:do|must|should) (?:i|we|you|one) (?:need |have )?(?:to )?do (?:to|in order to)", "how"),
    ("how (?:do|can|could|should|would|must) (?:i|we|you|one|someone)", "how"),
    ("how to", "how"),
    ("how (?:much|high) (?:is|are) (?:the )?(fees?|price|costs?|fare|rent|rate|interest rate)", "\\1"),
    ("how (?:much|expensive)(?= (?:is|are|does|do|will|would)\\b)", "price"),
    ("how high (?:is|are)", ""),
    ("how long", "duration"),
    ("how fast", "speed"),
    ("how far(?: away)?", "distance"),
    ("how many", "count"),
    ("how often", "frequency"),
    ("(?:at )?what time|what date|when", "time"),
    ("(?:opening|business|office) (?:hours|times)", "time open"),
    (
        "where(?: (?:can|do) (?:i|we|one|you) find)?|(?:what is|in|at) (?:the|which|what) (?:location|place)(?: of)?",
        "place",
    ),
    ("(delivery|shipping|waiting|processing) times?", "duration \\1"),
    ("(?:period|duration|length)", "duration"),
    # Two words that are one.
    ("log ?in|log on|sign in", "login"),
    ("log ?out|log off|sign out", "logout"),
    ("check[- ]in", "checkin"),
    ("check[- ]out", "checkout"),
    ("sign ?up", "register"),
    ("set up", "setup"),
    ("pick up", "pickup"),
    ("shut down", "shutdown"),
    ("money back", "refund"),
    ("(?:have|has|had) to|need(?:s|ed)? to|(?:is|are) (?:it )?(?:required|necessary|obligatory)(?: to)?|must", "must"),
    ("come[s]? with|part of", "include"),
    ("work[s]? with|compatible with", "support"),
    ("down to", "to"),
    ("instead of", "insteadof"),
    ("located", ""),
    # German.
    ("wie (?:lange|lang) (?:dauert|ist)", "duration"),
    ("wie (?:lange|lang)", "duration"),
    ("wie (?:teuer ist|teuer sind|viel kostet|viel kosten)", "price"),
    ("wie (?:viele?)", "count"),
    ("wie oft", "frequency"),
    ("wie weit", "distance"),
    ("wie(?: (?:kann|lässt|lassen|können|muss|soll))?(?: (?:man|ich|wir|sich))?", "how"),
    ("wann|(?:um )?wie viel uhr", "time"),
    ("wo|an welche[mnr] (?:ort|stelle)", "place"),
    ("liefer(?:zeit|dauer)|versanddauer", "duration lieferung"),
    ("öffnungszeiten", "time geöffnet"),
)
"""Patterns of lower-cased text, and what stands for them."""

_EMPTY = """
a an the this that these those some any of on in at for with by and is are be been being do does can could
may might would it its there here i you we they he she one my your our their me us them someone please tell know
like want let say show give which what whats possible possibly allow allowed allows permit permitted able available
availability offer provide exist have has get got as also exactly about information details question
find come comes stay bring so if then
der die das den dem des ein eine einen einem einer eines und ist sind sei wird werden kann kannst können
könnte könnten darf dürfen dürfte möglich erlaubt gestattet man ich du sie wir ihr er es mir mich uns ihnen sich
mein meine bitte sagen sag mal auch denn eigentlich genau in im am an auf bei beim für mit von vom zu zum zur als
welche welcher welches welchen welchem was hat haben gibt gilt bieten bietet lassen lässt dieser diese dieses diesen
"""
EMPTY = frozenset(_EMPTY.split())
"""Words that a question is built of."""

SAME = {
    word: words.split()[0]
    for words in (
        "price cost costs priced pricing preis kosten kostet kosteten",
        "deliver delivery deliveries delivered delivering ship shipping shipped shipment shipments ships delivers",
        "lieferung lieferungen liefern liefert geliefert versand versenden versendet verschicken",
        "cancel cancellation cancellations cancelled canceled cancelling canceling",
        "register registration registered registering",
        "pay payment payments paid pays paying",
        "shop store shops stores",
        "luggage baggage",
        "depart departure departures departs leave leaves leaving left",
        "arrive arrival arrives arriving",
        "start begin begins beginning starts started",
        "warranty guarantee warranties guarantees",
        "child children kid kids",
        "include included includes including",
        "exclude excluded excludes excluding",
        "withdraw withdrawal withdrawals withdrawn withdrawing",
        "refund refunds refunded reimbursement reimbursed",
        "metre metres meter meters",
        "fee fees charge charges",
        "support supports supported supporting",
        "recommend recommended recommends recommendation",
        "mandatory compulsory",
        "buy purchase buys purchases buying purchasing",
        "maximum max",
        "minimum min",
        "distance away",
        "return returned returns returning",
        "lost lose",
        "visitor visitors visit visiting",
        "last lasts",
        "phone telephone",
        "duration take takes taking dauert dauer",
        "all every each alle alles",
        "neu neue neuer neues neuen neuem",
        "geöffnet offen öffnet öffnen",
        "geschlossen zu",
        "zahlt bezahlt zahlen bezahlen übernimmt",
        "kündigen kündige kündigt kündigung",
        "abholen abgeholt abzuholen abholung",
        "anmelden angemeldet anzumelden anmeldung",
        "abmelden abgemeldet abzumelden abmeldung",
        "student studierende studierenden studenten studierender",
        "ermäßigung ermässigung rabatt ermäßigungen rabatte vergünstigung",
        "foto fotografieren fotografiert fotos",
        "montag montags mondays monday",
        "dienstag dienstags tuesdays tuesday",
        "mittwoch mittwochs wednesdays wednesday",
        "donnerstag donnerstags thursdays thursday",
        "freitag freitags fridays friday",
        "samstag samstags saturdays saturday sonnabend",
        "sonntag sonntags sundays sunday",
    )
    for word in words.split()
}
"""Words that say the same, in each of their forms."""

NEGATIONS = {
    "not": "not", "no": "not", "never": "not", "nobody": "not", "nothing": "not", "none": "not", "neither": "not",
    "nicht": "not", "kein": "not", "keine": "not", "keinen": "not", "keinem": "not", "keiner": "not", "nie": "not",
    "niemals": "not", "niemand": "not", "nichts": "not",
    "without": "without", "ohne": "without", "except": "except", "außer": "except", "ausser": "except",
}  # fmt: skip
"""Words that a question must have as often as the other."""

PAST = frozenset(("did", "was", "were", "had", "wurde", "wurden", "war", "waren", "hatte", "hatten"))

_NUMBERS = "zero - two three four five six seven eight nine ten eleven twelve"
_ZAHLEN = "null - zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"
NUMBERS = {word: str(number) for words in (_NUMBERS, _ZAHLEN) for number, word in enumerate(words.split())}
""""One" and "ein" are articles as often as numbers."""

DIRECTIONS = {
    "from": "from", "aus": "from", "ab": "from", "to": "to", "into": "to", "nach": "to", "bis": "to",
    "before": "before", "vor": "before", "after": "after", "than": "than", "over": "over", "under": "under",
    "above": "over", "below": "under", "without": "without", "ohne": "without", "insteadof": "insteadof",
    "über": "over", "unter": "under", "until": "to", "since": "from", "between": "between", "zwischen": "between",
}  # fmt: skip
"""Words that say what part the next one has."""
