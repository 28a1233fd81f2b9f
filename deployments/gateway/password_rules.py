"""Which passwords are too easily guessed; any characters will do.

Source: OWASP ASVS 5.0, V6.2: no rules of composition, but the commonest and the context's own words are refused.
"""

import unicodedata
from functools import cache

from domain.errors import InvalidInput

MIN_LENGTH = 8
_PRODUCT = "loquent"
_FEWEST_CHARACTERS = 3


class WeakPassword(InvalidInput):
    code, default = "weak_password", "This password is too easily guessed; choose another one."


def require_good_password(password: str, email: str, *companies: str) -> None:
    """Raises WeakPassword for what is short, common, of two characters, or a name of the context with ornaments."""
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"A password has at least {MIN_LENGTH} characters.")
    folded = _folded(password)
    if folded in _commonest() or len(set(folded)) < _FEWEST_CHARACTERS:
        raise WeakPassword
    letters = _letters(folded)
    name, _, domain = email.rpartition("@")
    for word in (_PRODUCT, email, name, domain, *companies):
        if letters and letters == _letters(_folded(word)):
            raise WeakPassword("This password is no more than a name; choose another one.")


@cache
def _commonest() -> frozenset[str]:
    """About 11,600 that were found in breaches and are long enough to be chosen here, from zxcvbn's list."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalpha())
