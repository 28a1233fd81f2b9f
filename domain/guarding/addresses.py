"""Finds addresses in single words of an answer, as a renderer would make links of them."""

import re

from domain.guarding.link_hosts import LinkHosts
from domain.guarding.plain_text import decoded

REMOVED = "‹link removed›"

_SUSPECT = re.compile(r"[:/\\&]|[wW]{2}|[^\x00-\x7f]")
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}:[/\\]{2}|(?<![a-z0-9])www\.|(?:javascript|vbscript|mailto|xmpp):\S"
    r"|data:[a-z]+/[a-z0-9.+-]+[;,]"
)
_RAW = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}://|(?<![A-Za-z0-9])[wW]{3}\.|(?i:javascript|vbscript|mailto|xmpp|data):)[^\s<>\"'`|(){}\[\]*]*"
)
_AFTER = re.compile(r"[)\]}\"'`*_~.,;:!?|]*")
_SCHEMES = ("https", "ftp", "www", "javascript", "vbscript", "data", "mailto", "xmpp")
_BEGINNINGS = "|".join(sorted({name[:size] for name in _SCHEMES for size in range(1, len(name) + 1)}))
_BEGINNING = re.compile(rf"(?:^|[^a-z0-9])(?:{_BEGINNINGS})$")
_MARK = re.compile(r"[:/\\&]")
_TRAILING = ".,;:!?_~"


def may_be_address(word: str) -> bool:
    """Quick, and never wrong about what is one."""
    return _SUSPECT.search(word) is not None


def is_address(word: str) -> bool:
    """Whether a renderer, which decodes the word, finds an address in it."""
    return _ADDRESS.search(decoded(word)) is not None


def may_begin(word: str) -> bool:
    """Whether an address may begin in this word, which is not complete."""
    if _MARK.search(word):
        return True
    seen = decoded(word[-12:])
    return "ww" in seen or _BEGINNING.search(seen) is not None


class Addresses:
    def __init__(self, hosts: LinkHosts) -> None:
        self._hosts = hosts

    def clean(self, word: str) -> bool:
        """Whether there is no address in the word but an allowed one at its end."""
        if not is_address(word):
            return True
        match = _RAW.search(word)
        if match is None or is_address(word[: match.start()]):
            return False
        url = match[0].rstrip(_TRAILING)
        return self._hosts.allow(url) and _AFTER.fullmatch(word, match.start() + len(url)) is not None

    def without(self, word: str) -> tuple[str, int]:
        """The word without the addresses that are not allowed, and how many went."""
        if self.clean(word):
            return word, 0
        found = 0

        def replaced(match: re.Match[str]) -> str:
            nonlocal found
            url = match[0].rstrip(_TRAILING)
            if self._hosts.allow(url):
                return match[0]
            found += 1
            return REMOVED + match[0][len(url) :]

        shown = _RAW.sub(replaced, word)
        # An address that is not written plainly takes its whole word with it.
        return (shown, found) if self.clean(shown) else (REMOVED, 1)
