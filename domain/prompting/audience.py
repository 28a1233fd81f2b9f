"""Who is answered, and when: what a template may say about the visitor, as data and never as instructions."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from domain.errors import InvalidInput
from domain.prompting.configuration import MAX_ATTRIBUTE
from domain.prompting.template import NAME
from domain.text import clean_text

MAX_ATTRIBUTES = 20
MAX_ATTRIBUTES_TEXT = 4_000
"""Characters of the JSON text that holds them."""
_LOCALE = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3})\s*(?:[,;].*)?", re.DOTALL)
_NAME = re.compile(NAME)
_LANGUAGES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


@dataclass(frozen=True, slots=True)
class Audience:
    chatbot_name: str = ""
    locale: str = ""
    """A language tag as browsers send it, or nothing."""
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the tenant's server vouches for about the visitor."""
    today: date | None = None
    """None stands for the day on which the text is made, UTC."""

    @property
    def language(self) -> str:
        """In English where it is one of the common ones, the tag itself otherwise."""
        return _LANGUAGES.get(self.locale.split("-")[0].lower(), self.locale)


def locale_of(told: str) -> str:
    """The first language tag of a header like `de-AT,de;q=0.9`, or of one alone; empty for what is none."""
    found = _LOCALE.fullmatch(told[:200])
    return found[1] if found else ""


def attributes_of(text: str) -> dict[str, str]:
    """Attributes from the JSON object in `text`. Raises InvalidInput."""
    try:
        found = json.loads(text) if len(text) <= MAX_ATTRIBUTES_TEXT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("`attributes` must be the text of a JSON object.")
    return checked_attributes(found)


def checked_attributes(found: Mapping[str, Any]) -> dict[str, str]:
    """Raises InvalidInput for too many, a wrong name, or a value that is no short text."""
    if len(found) > MAX_ATTRIBUTES:
        raise InvalidInput(f"A visitor has at most {MAX_ATTRIBUTES} attributes.")
    for name, value in found.items():
        if _NAME.fullmatch(name) is None:
            raise InvalidInput("Names of attributes have small letters, digits and underscores, at most 32.")
        if not isinstance(value, str) or len(value) > MAX_ATTRIBUTE:
            raise InvalidInput(f"Values of attributes are texts of at most {MAX_ATTRIBUTE} characters.")
        try:
            clean_text(value)
        except ValueError:
            raise InvalidInput("Values of attributes must be valid Unicode without NUL.") from None
    return dict(found)


def quoted(value: str) -> str:
    """An attribute as a quotation on one line, which it cannot end; nothing for an empty one."""
    said = " ".join("".join(c if c.isprintable() else " " for c in value[:MAX_ATTRIBUTE]).replace('"', "'").split())
    return f'"{said}"' if said else ""
