"""Follow-up questions: what is to be searched for when a question leans on the conversation before it."""

import re
from collections.abc import Sequence

from domain.generation import PromptMessage
from domain.words import WORD, topic_words

MAX_CONTEXT_CHARS = 500
MAX_CHARS = 300
"""A longer question says enough itself."""
FEW_WORDS = 1
"""A question with no more words of its own that carry meaning says too little to be searched for alone."""
MAX_LEAPS = 2
"""Earlier questions that are looked at when the last one was a follow-up itself."""

_BEGINS = re.compile(
    r"\W*(?:and|also|but|or|so|what about|how about|what else|und|auch|aber|oder|was ist mit|wie steht es|et|y)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|these|those"
    r"|ihn|ihm|ihnen|ihre[mnrs]?|seine?[mnrs]?|diese[mnrs]?|davon|dafür|dazu|damit|darüber|deren|dessen)\b"
    r"|\b(?:about|after|before|by|for|from|in|is|like|of|on|than|to|was|with|does|did) th(?:at|is)\b",
    re.IGNORECASE,
)


def standalone(question: str, history: Sequence[PromptMessage]) -> str | None:
    """The question together with the earlier ones that it leans on; None when it stands alone.

    `history` is the conversation before it, oldest first.
    """
    earlier = [message.content for message in history if message.role == "user"]
    if not earlier or not leans(question):
        return None
    context: list[str] = []
    for text in reversed(earlier[-MAX_LEAPS:]):
        context.insert(0, text.strip()[:MAX_CONTEXT_CHARS])
        if not leans(text):
            break
    return " ".join((*context, question.strip()))


def leans(question: str) -> bool:
    """Whether the question cannot be understood, or searched for, without what was said before."""
    if len(question) > MAX_CHARS:
        return False
    if _BEGINS.match(question):
        return True
    pronoun = _PRONOUN.search(question)
    if pronoun is not None:
        # A pronoun behind a name stands for that.
        return not names(question[: pronoun.start()])
    return len(topic_words(question)) <= FEW_WORDS and not names(question)


def names(text: str) -> set[str]:
    """Words that begin with a capital letter though no sentence begins with them."""
    found = set()
    for word in WORD.finditer(text):
        before = text[: word.start()].rstrip()
        if word.group()[0].isupper() and before and before[-1] not in ".!?:":
            found.add(word.group())
    return found
