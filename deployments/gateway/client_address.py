"""Who is at the other end: the client's address and scheme, as far as the proxies in between can be believed."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Always trusted: HAProxy runs beside the gateway, and adds the address of whoever called it."""
_MAX_HOPS = 32
_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Client:
    address: str
    """Canonical; empty for a connection that has none, such as a Unix socket."""
    secure: bool
    """Whether the client itself spoke TLS."""


class TrustedProxies:
    """Raises ValueError for a network that is none."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in (*LOOPBACK, *networks)]

    def client(self, scope: Scope) -> Client:
        """The rightmost address of `X-Forwarded-For` that is no trusted proxy's; the peer's when there is none.

        `CF-Connecting-IP` counts only where the whole way here is trusted. Whatever is malformed is not believed.
        `X-Forwarded-Proto` is taken from a trusted peer; all that it decides is Strict-Transport-Security, which
        browsers ignore over plain HTTP.
        """
        peer_text = (scope.get("client") or ("",))[0]
        peer = _parsed(peer_text)
        secure = scope.get("scheme") in ("https", "wss")
        if peer is None or not self._trusted(peer):
            return Client(str(peer) if peer else "", secure)
        headers = Headers(scope=scope)
        protocols = headers.getlist("x-forwarded-proto")
        if protocols:
            secure = protocols[-1].rpartition(",")[2].strip().lower() in ("https", "wss")
        return Client(str(self._behind(peer, headers)), secure)

    def _behind(self, peer: _Address, headers: Headers) -> _Address:
        """The client's address behind a trusted peer."""
        found = peer
        hops = [hop for line in headers.getlist("x-forwarded-for") for hop in line.split(",")]
        for hop in reversed(hops[-_MAX_HOPS:]):
            address = _parsed(hop.strip())
            if address is None:
                return peer
            if not self._trusted(address):
                return address
            found = address
        given = headers.getlist("cf-connecting-ip")
        return (_parsed(given[0].strip()) if len(given) == 1 else None) or found

    def _trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def client_of(scope: Scope) -> Client:
    """The client of a request or socket; the outermost middleware has found it out."""
    found: Client = scope["state"]["client"]
    return found


def _parsed(text: str) -> _Address | None:
    """An address, with or without a port; one mapped into IPv6 is the IPv4 address it stands for."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
