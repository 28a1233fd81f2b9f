"""Addresses on the web that others give us: plainly spelled ones, on hosts of the public internet."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urljoin

from domain.errors import InvalidInput

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

MAX_CHARS = 2_048
_PORTS = {"http": 80, "https": 443}
_FIRST_FREE_PORT = 1_024
_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NOT_URL = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_MAX_HOST = 253

# Source: the IANA registries of special-purpose addresses, and the clouds' own: 168.63.129.16 answers every machine of
# Azure although its network is public.
_CLOSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
# Of IPv6 only global unicast is open; what carries an IPv4 address inside it lies outside of that, but for 6to4 and
# Teredo.
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class UnsafeAddress(InvalidInput):
    code, default = "unsafe_address", "This address cannot be fetched: it does not belong to the public web."


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A checked http or https URL. Its host is lower-case ASCII: a name or the canonical text of an IP address."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, printable ASCII."""

    @property
    def netloc(self) -> str:
        """Host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"

    @property
    def ip(self) -> IpAddress | None:
        """The address, where the host is one."""
        return _canonical_ip(self.host)

    def follow(self, location: str) -> "WebAddress":
        """Where a redirect from here leads. Raises UnsafeAddress; https never leads back to http."""
        if _NOT_URL.search(location) or len(location) > MAX_CHARS:
            raise UnsafeAddress
        try:
            there = parse_address(urljoin(self.url, location))
        except ValueError:
            raise UnsafeAddress from None
        if self.scheme == "https" and there.scheme != "https":
            raise UnsafeAddress("This address leads from https to http.")
        return there


def parse_address(url: str) -> WebAddress:
    """Raises UnsafeAddress for anything that two readers might understand differently.

    No user names, no backslashes, no spaces, no numbers as hosts but dotted decimal ones, no names beyond ASCII (an
    international one is written with `xn--`), no ports of other services.
    """
    whole = _URL.fullmatch(url) if len(url) <= MAX_CHARS and not _NOT_URL.search(url) else None
    parts = _AUTHORITY.fullmatch(whole["authority"]) if whole else None
    if whole is None or parts is None:
        raise UnsafeAddress("This is not a plain http or https address.")
    scheme, host = whole["scheme"].lower(), parts["host"].lower().strip("[]")
    port = int(parts["port"]) if parts["port"] else _PORTS[scheme]
    if port not in _PORTS.values() and not _FIRST_FREE_PORT <= port <= 65_535:
        raise UnsafeAddress("This port is not one of the web.")
    ip = _canonical_ip(host)
    bracketed = parts["host"].startswith("[")
    if bracketed != isinstance(ip, IPv6Address) or (ip is None and not _is_name(host)):
        raise UnsafeAddress
    try:
        target = quote(whole["target"], safe="/?%:@!$&'()*+,;=-._~[]|^`{}")
    except UnicodeEncodeError:
        raise UnsafeAddress from None
    return WebAddress(scheme, host if ip is None else str(ip), port, target if target[:1] == "/" else f"/{target}")


def is_public(ip: IpAddress, allowed: Iterable[IpNetwork] = ()) -> bool:
    """Whether anybody may be sent there; `allowed` networks are open beside the public ones."""
    if any(ip in network for network in allowed):
        return True
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _CLOSED_V4)
    return ip in _OPEN_V6 and ip.scope_id is None and not any(ip in network for network in _CLOSED_V6)


def networks_of(texts: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def _canonical_ip(host: str) -> IpAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    """A name of labels whose last one no resolver could read as a number."""
    labels = host.split(".")
    return len(host) <= _MAX_HOST and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])
