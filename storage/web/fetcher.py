"""Reads a file from an address that a customer gives, within limits, and from nowhere but the public web."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from domain.errors import TooLarge, Unprocessable, UnsupportedMedia
from domain.web_address import IpNetwork, WebAddress, parse_address
from storage.web.transport import Resolve, SafeTransport, resolve

MAX_REDIRECTS = 3
MAX_AT_ONCE = 8
"""Of one process; others wait within their own time."""
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 30.0
MAX_HEADER = 500
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_BUSY = frozenset((429, 503))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
AGENT = "Loquent"
"""How robots.txt may call us."""
_HEADERS = {
    "User-Agent": f"{AGENT}/0.1 (document fetch)",
    # A compressed answer could unpack to anything; its size would have to be watched twice.
    "Accept-Encoding": "identity",
}


class FetchFailed(Unprocessable):
    code, default = "fetch_failed", "The address could not be read."
    answered: int | None = None
    """The status of an answer that was none of the wanted ones."""
    retry_after: float | None = None
    """Seconds until a busy server (429, 503) wants to be asked again, where it says so."""


@dataclass(frozen=True)
class Fetched:
    """An answer whose body is still to come: iterate `chunks` once."""

    address: WebAddress
    """Where it came from, after redirects."""
    media_type: str | None
    """What the server says, without parameters, in lower case."""
    disposition: str | None
    chunks: AsyncIterator[bytes] = field(repr=False)
    etag: str | None = None
    last_modified: str | None = None
    """Both as `get` takes them the next time."""
    robots: str = ""
    """What X-Robots-Tag says."""
    unchanged: bool = False
    """The file is as `etag` and `last_modified` say; there is no body."""


class SafeFetcher:
    """The one door for addresses that come from outside. `allowed` networks are open beside the public internet."""

    def __init__(
        self,
        allowed: Sequence[IpNetwork] = (),
        *,
        find: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._allowed = allowed
        self._find = find
        self._trust = trust
        self._total_seconds = total_seconds
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    @asynccontextmanager
    async def get(
        self,
        url: str,
        max_bytes: int,
        media_types: Collection[str] | None,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> AsyncGenerator[Fetched, None]:
        """`async with fetcher.get(...) as fetched`: the answer to a GET, after at most three redirects.

        Its body is at most `max_bytes` long. An answer whose declared type is none of `media_types` is refused; one
        without a type is not, for the content has to be looked at anyway; with None, every type is taken. With `etag`
        or `last_modified` of an earlier answer, the server is asked for a file that has changed since. Raises
        UnsafeAddress, FetchFailed, TooLarge, UnsupportedMedia.
        """
        conditions = _sendable({"If-None-Match": etag, "If-Modified-Since": last_modified})
        address = parse_address(url)
        try:
            async with asyncio.timeout(self._total_seconds), self._places, self._client() as client:
                for _ in range(MAX_REDIRECTS + 1):
                    async with client.stream("GET", address.url, headers=conditions) as answer:
                        location = answer.headers.get("location")
                        if answer.status_code not in _REDIRECTS or location is None:
                            if conditions and answer.status_code == httpx.codes.NOT_MODIFIED:
                                yield Fetched(address, None, None, _nothing(), etag, last_modified, unchanged=True)
                            else:
                                yield self._fetched(address, answer, max_bytes, media_types)
                            return
                    address = address.follow(location)
                raise FetchFailed("The address leads to another one too many times.")
        except TimeoutError:
            raise FetchFailed("The address took too long to answer.") from None
        except httpx.HTTPError as error:
            # One sentence for all of them: which ports are open is nobody's business.
            raise FetchFailed from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=SafeTransport(self._allowed, self._find, self._trust),
            headers=_HEADERS,
            timeout=httpx.Timeout(self._total_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )

    def _fetched(
        self, address: WebAddress, answer: httpx.Response, max_bytes: int, media_types: Collection[str] | None
    ) -> Fetched:
        if answer.status_code != httpx.codes.OK:
            failure = FetchFailed(f"The address answered with status {answer.status_code}.")
            failure.answered = answer.status_code
            if answer.status_code in _BUSY:
                failure.retry_after = _seconds(answer.headers.get("retry-after", ""))
            raise failure
        if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise FetchFailed("The address answers in a compressed form that was not asked for.")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower() or None
        if media_types is not None and media_type is not None and media_type not in media_types:
            raise UnsupportedMedia("The address holds a kind of content that is not supported.")
        length = answer.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > max_bytes):
            raise _too_large(max_bytes)
        told = _sendable({name: answer.headers.get(name) for name in ("etag", "last-modified")})
        return Fetched(
            address,
            media_type,
            answer.headers.get("content-disposition"),
            _bounded(answer, max_bytes),
            told.get("etag"),
            told.get("last-modified"),
            ", ".join(answer.headers.get_list("x-robots-tag"))[:MAX_HEADER],
        )


def _seconds(retry_after: str) -> float | None:
    """Of a `Retry-After` (RFC 9110, 10.2.3), a number or a date; a time that has passed is 0."""
    text = retry_after.strip()[:MAX_HEADER]
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        there = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if there.tzinfo is None:
        return None
    return max(0.0, (there - datetime.now(UTC)).total_seconds())


async def _bounded(answer: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _sendable(headers: Mapping[str, str | None]) -> dict[str, str]:
    """Those with a value that may be kept and sent back: printable ASCII, not long."""
    return {
        name: value for name, value in headers.items() if value and len(value) <= MAX_HEADER and _PRINTABLE.fullmatch(value)
    }


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"What the address holds is larger than {max_bytes / 1024 / 1024:,.2g} MiB.")
