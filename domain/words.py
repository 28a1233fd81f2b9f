"""The words of a text that carry its meaning."""

import re

WORD = re.compile(r"\w+")
STEM = 4
"""Letters that stand for a word in all its forms."""
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Scripts without spaces between words."""
_ENGLISH_AND_GERMAN = """
about after again also although among because been before being below between both cannot could does doing
done down during each else even ever every from further gets give given gives have having here hers herself
himself into itself just kind less like made make makes many more most much must myself name named need only
other ought ours over please same shall should show some such tell than that thats their theirs them
themselves then there these they this those through under until upon very want wants well were what whats when
where whether which while whom whose will with within without would your yours yourself aber alle allem allen
aller alles andere anderen auch beim beide bitte damit dann darf dass dazu dein deine denn deren dessen dich
dies diese diesem diesen dieser dieses doch dort durch eine einem einen einer eines etwa etwas euch für ganz
gegen gewesen gibt habe haben hatte hatten hier ihnen ihre ihrem ihren ihrer immer jede jedem jeden jeder
jedes jener kann kein keine keinen können könnte machen mein meine mich muss müssen nach nicht nichts noch nur
oder ohne sein seine seinem seinen seiner seit sich sind sollte soll sonst sowie über unser unter viel viele
vielen vom vor wann waren warum wäre weil welche welchem welchen welcher welches wenn werden wessen wird
wieder wieviel wohl worin wurde wurden während zum zur zwischen
"""
_FUNCTION_WORDS = frozenset(_ENGLISH_AND_GERMAN.split())


def words_of(text: str) -> list[str]:
    """Every word, lower-cased, in order."""
    return WORD.findall(text.lower())


def content_words(text: str) -> set[str]:
    """Lower-cased words that carry meaning: numbers, and words longer than three letters."""
    return {word for word in words_of(text) if len(word) > 3 or any(c.isdigit() for c in word)}


def topic_words(text: str) -> set[str]:
    """The content words that say what a question is about: not those that English or German sentences are built of."""
    return content_words(text) - _FUNCTION_WORDS


def stems(text: str) -> set[str]:
    """The beginnings of the topic words; pairs of letters in scripts without spaces."""
    found = {word[:STEM] for word in topic_words(_UNSPACED.sub(" ", text))}
    for run in _UNSPACED.findall(text):
        found |= {run[at : at + 2] for at in range(max(1, len(run) - 1))}
    return found
