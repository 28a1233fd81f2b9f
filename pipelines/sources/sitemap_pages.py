"""The pages that a sitemap lists, in its order; an index of sitemaps is followed."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from domain.documents import IngestionFailure
from domain.errors import AppError
from domain.sources import SitemapSource
from domain.web_address import WebAddress
from pipelines.parsing.sandbox import read
from pipelines.sources.courtesy import Pause
from pipelines.sources.found import Found, Known, SourceFailure, SourceLimits, at_most
from pipelines.sources.site import Site, followed
from pipelines.sources.sitemap_file import MAX_BYTES
from pipelines.sources.web_files import WebFile
from storage.web import SafeFetcher

MAX_SITEMAPS = 500


class SitemapPages:
    """Each page once, as far as the site's robots.txt allows."""

    def __init__(
        self,
        spec: SitemapSource,
        fetcher: SafeFetcher,
        limits: SourceLimits | None = None,
        known: Mapping[str, Known] | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`known` is what the last run was told, by address."""
        self._site = Site(spec, fetcher, limits, known, pause)
        self._fetcher = fetcher

    async def items(self) -> AsyncGenerator[Found, None]:
        site = self._site
        async with aclosing(at_most(site.limits.max_items, self._everything(), site.start.url)) as found:
            async for item in found:
                yield item

    async def _everything(self) -> AsyncGenerator[Found, None]:
        site, count = self._site, 0
        async with aclosing(self._listed()) as listed:
            async for page in listed:
                if isinstance(page, SourceFailure):
                    yield page
                    continue
                if count >= site.max_pages:
                    reason = f"The sitemap lists more than {site.max_pages:,} pages; the rest was left out."
                    yield SourceFailure("", site.start.url, reason)
                    return
                count += 1
                file = await site.page(page)
                if not isinstance(file, WebFile):
                    yield file
                    continue
                async with aclosing(site.documents(file, await site.said(file))) as found:
                    async for item in found:
                        yield item

    async def _listed(self) -> AsyncGenerator[WebAddress | SourceFailure, None]:
        start = self._site.start
        waiting, sitemaps, pages = deque([start]), {start.url}, set[str]()
        while waiting:
            place = waiting.popleft()
            try:
                said = await asyncio.to_thread(read, await self._read(place), place.url, "sitemap")
            except (IngestionFailure, AppError) as error:
                yield SourceFailure(place.url, place.url, str(error))
                continue
            for url in said["pages"]:
                page = followed(start, url)
                if page is not None and page.url not in pages:
                    pages.add(page.url)
                    yield page
            for url in said["sitemaps"]:
                there = followed(start, url)
                if there is not None and there.url not in sitemaps and len(sitemaps) < MAX_SITEMAPS:
                    sitemaps.add(there.url)
                    waiting.append(there)

    async def _read(self, place: WebAddress) -> bytes:
        return await self._site.courtesy.ask(place, lambda: self._fetch(place))

    async def _fetch(self, place: WebAddress) -> bytes:
        async with self._fetcher.get(place.url, MAX_BYTES, None) as fetched:
            return b"".join([piece async for piece in fetched.chunks])
