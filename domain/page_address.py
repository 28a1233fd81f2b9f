"""One spelling for the addresses of one page, so that a page is read once however it is linked."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

from domain.web_address import WebAddress

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_TRACKING = re.compile(
    r"(?:utm_[a-z_]+|mc_[ce]id|gclid|gbraid|wbraid|fbclid|msclkid|yclid|igshid|_ga|_gl)\Z", re.IGNORECASE
)


def canonical(address: WebAddress) -> WebAddress:
    """The same page, spelled as RFC 3986 (section 6.2.2) normalises it, and without what only counts clicks.

    Scheme, host and port are normal already. The order of parameters stays, for a server may look at it.
    """
    path, mark, query = address.target.partition("?")
    kept = [part for part in query.split("&") if part and not _TRACKING.match(part.partition("=")[0])]
    target = _without_dots(_plain(path))
    return replace(address, target=f"{target}?{_plain('&'.join(kept))}" if mark and kept else target)


def _plain(text: str) -> str:
    """Escapes in capitals, and none of characters that need none."""

    def shown(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else match[0].upper()

    return _ESCAPE.sub(shown, text)


def _without_dots(path: str) -> str:
    """By the rules of RFC 3986, section 5.2.4; the path begins with a slash."""
    parts: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            parts = parts[:-1]
        elif segment != ".":
            parts.append(segment)
    if segments[-1] in (".", ".."):
        parts.append("")
    return "/" + "/".join(parts)


def extension_of(address: WebAddress) -> str:
    """What the last part of the path ends in, in lower case; empty when it ends in nothing."""
    last = urlsplit(address.target).path.rpartition("/")[2]
    stem, dot, extension = last.rpartition(".")
    return extension.lower() if dot and stem else ""
