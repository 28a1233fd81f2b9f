"""An httpx transport that looks a name up once, checks every address it has, and connects to what it checked."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import httpx

from domain.web_address import IpAddress, IpNetwork, UnsafeAddress, WebAddress, is_public, parse_address

Resolve = Callable[[str, int], Awaitable[Sequence[IpAddress]]]
"""The addresses of a name. Raises OSError."""
MAX_TRIES = 3
"""Addresses of one name that are tried when the first ones do not answer."""


async def resolve(host: str, port: int) -> list[IpAddress]:
    """By the system's resolver; also names of its own hosts file, for it is the answer that is checked."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    # A scope ("%eth0") makes an address one of this machine's networks; ip_address keeps it, is_public refuses it.
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class SafeTransport(httpx.AsyncBaseTransport):
    """Every request of its client, redirects too, is checked as if it were the first one.

    The URL is rewritten to the checked address; the name stays in `Host` and in the TLS handshake, whose certificate is
    checked against it. Connections are never kept: one that was opened under a name serves no other. Raises
    UnsafeAddress, beside httpx's own errors.
    """

    def __init__(
        self, allowed: Sequence[IpNetwork] = (), find: Resolve = resolve, trust: ssl.SSLContext | None = None
    ) -> None:
        """`allowed` networks may be reached beside the public ones; `trust` has other authorities than the usual."""
        self._allowed = allowed
        self._find = find
        self._inner = httpx.AsyncHTTPTransport(
            verify=trust or _trust(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = parse_address(str(request.url))
        failure: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for ip in (await self._addresses(address))[:MAX_TRIES]:
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=str(ip)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": address.host},
            )
            # httpx wrote it from the URL; what a caller put there instead does not count.
            pinned.headers["Host"] = address.netloc
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("The name has no address.", request=request)

    async def _addresses(self, address: WebAddress) -> Sequence[IpAddress]:
        """All of them are public: a name that has a private address beside a public one is no honest name."""
        if address.ip is not None:
            found: Sequence[IpAddress] = [address.ip]
        else:
            try:
                found = await self._find(address.host, address.port)
            except (OSError, UnicodeError) as error:
                raise httpx.ConnectError("The name was not found.") from error
        if not all(is_public(ip, self._allowed) for ip in found):
            raise UnsafeAddress
        return found
