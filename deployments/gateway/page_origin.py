"""Which page a request or a socket comes from, and whether a visitor's token was given to that page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

MAX_ORIGIN = 255
_READS = frozenset(("GET", "HEAD"))


@dataclass(frozen=True, slots=True)
class PageOrigin:
    """What a browser says of it. Programs can say anything: it binds a token that a page has lost, not a thief's
    own program."""

    origin: str | None
    """The header `Origin`; None from a program, and from a browser that reads from the page's own origin."""
    own_host: str | None = None
    """The host, where a browser says that it reads from the page's own origin."""

    @classmethod
    def of(cls, headers: Mapping[str, str], method: str) -> Self:
        own = method in _READS and headers.get("sec-fetch-site") == "same-origin"
        return cls(headers.get("origin"), headers.get("host", "").lower() if own else None)

    def is_where(self, given: str | None) -> bool:
        """Whether a token that was given to the page `given` comes from there; None was given to a program."""
        if self.origin is not None or given is None:
            return self.origin == given
        return bool(self.own_host) and urlsplit(given).netloc.lower() == self.own_host
