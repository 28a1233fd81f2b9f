"""What sitemaps and crawls share: the hosts that belong to a site, its robots.txt, and each content once."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urljoin

from domain.documents import IngestionFailure
from domain.page_address import canonical
from domain.sources import CrawlSource, SitemapSource
from domain.web_address import UnsafeAddress, WebAddress, parse_address
from pipelines.parsing.registry import HTML
from pipelines.parsing.sandbox import read
from pipelines.sources.courtesy import Courtesy, Pause
from pipelines.sources.found import Found, Known, SourceFailure, SourceLimits
from pipelines.sources.intake import Intake
from pipelines.sources.robots import DISALLOWED, Robots
from pipelines.sources.web_files import WebFile, WebReader
from storage.web import SafeFetcher

ELSEWHERE = "The address belongs to another site."
NOT_INDEXED = "The page asks not to be indexed."
_NOTHING: Mapping[str, Any] = {"links": [], "base": None, "noindex": False, "nofollow": False}


class Site:
    """One run over a site; `known` is what the last run was told, by address."""

    def __init__(
        self,
        spec: SitemapSource | CrawlSource,
        fetcher: SafeFetcher,
        limits: SourceLimits | None = None,
        known: Mapping[str, Known] | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.start = canonical(parse_address(spec.url))
        self.limits = limits or SourceLimits()
        self.max_pages = spec.max_pages
        self._hosts = frozenset((self.start.host, *spec.hosts))
        self._intake = Intake(self.limits)
        self.courtesy = Courtesy(pause)
        self._reader = WebReader(fetcher, self._intake, known, self.courtesy)
        self._robots = Robots(fetcher, self.courtesy)
        self._contents: set[str] = set()

    def owns(self, address: WebAddress) -> bool:
        return address.host in self._hosts

    async def allows(self, address: WebAddress) -> bool:
        return await self._robots.allows(address)

    async def page(self, address: WebAddress, *, anew: bool = False) -> WebFile | Found:
        """The page, unless its host or the site's rules say otherwise, also where a redirect leads."""
        if not self.owns(address):
            return SourceFailure(address.url, address.url, ELSEWHERE)
        if not await self._robots.allows(address):
            return SourceFailure(address.url, address.url, DISALLOWED)
        file = await self._reader.read(address.url, anew=anew, delay=self._robots.delay(address))
        if not isinstance(file, WebFile) or file.address == address:
            return file
        if address == self.start:
            # "example.com" is "www.example.com" for whoever named it.
            self._hosts |= {file.address.host}
        reason = None if self.owns(file.address) else ELSEWHERE
        if reason is None and not await self._robots.allows(file.address):
            reason = DISALLOWED
        if reason is None:
            return file
        file.arrival.content.close()
        return SourceFailure(address.url, address.url, reason)

    async def documents(self, file: WebFile, said: Mapping[str, Any]) -> AsyncGenerator[Found, None]:
        """What is in a page of which `said` tells; nothing when another address had the same content."""
        arrival = file.arrival
        if file.noindex or said["noindex"]:
            arrival.content.close()
            yield SourceFailure(arrival.key, arrival.source, NOT_INDEXED)
        elif arrival.content.content_hash in self._contents:
            arrival.content.close()
        else:
            self._contents.add(arrival.content.content_hash)
            async with aclosing(self._intake.found(arrival)) as found:
                async for item in found:
                    yield item

    async def said(self, file: WebFile) -> Mapping[str, Any]:
        """Links of a page and what it says to robots: see `page_links`."""
        content = file.arrival.content
        if b"<" not in content.head or file.arrival.declared not in (None, HTML, "application/xhtml+xml"):
            return _NOTHING
        try:
            return await asyncio.to_thread(read, await content.read(), file.arrival.key, "links")
        except IngestionFailure:
            return _NOTHING


def followed(base: WebAddress, link: str, within: str | None = None) -> WebAddress | None:
    """Where a link leads, in its one spelling; None for what is no address of the web. `within` is the page's base."""
    try:
        return canonical(base.follow(urljoin(within, link) if within else link))
    except (UnsafeAddress, ValueError):
        return None
