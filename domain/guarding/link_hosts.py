"""Which addresses an answer may link to: absolute http(s) on hosts of a list, in their plainest form."""

import re
from collections.abc import Iterable

MAX_URL = 600
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)
_URL = re.compile(
    r"(?:https?://|(?=www\.))([a-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:[/?#][a-z0-9._~:/?#@!$&*+,;=%-]*)?", re.IGNORECASE
)


def checked_host(host: str) -> str:
    """`example.com`, or `*.example.com` for what lies below it; in lower case. Raises ValueError."""
    if not _HOST.fullmatch(host):
        raise ValueError("a host is `example.com`, or `*.example.com` for all below it")
    return host.lower()


class LinkHosts:
    def __init__(self, hosts: Iterable[str]) -> None:
        """`hosts` as `checked_host` returns them."""
        self._exact = frozenset(host for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:] for host in hosts if host.startswith("*."))

    def allow(self, url: str) -> bool:
        """Whether `url` is plainly on an allowed host. No user names, no escapes in the host, no other scheme."""
        if len(url) > MAX_URL or not (self._exact or self._below):
            return False
        match = _URL.fullmatch(url)
        if match is None:
            return False
        host = match[1].lower()
        return host in self._exact or host.endswith(self._below)
