"""The pages that links lead to from one page, nearest first, as far as robots.txt and the limits allow."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from mimetypes import MimeTypes
from typing import Any

from domain.page_address import extension_of
from domain.sources import CrawlSource
from domain.web_address import WebAddress
from pipelines.parsing.registry import EXTENSIONS
from pipelines.sources.courtesy import Pause
from pipelines.sources.found import Found, Known, SourceFailure, SourceLimits, at_most
from pipelines.sources.site import Site, followed
from pipelines.sources.web_files import WebFile
from storage.web import SafeFetcher

MAX_WAITING = 20_000
"""Links that are known and not read yet."""
_MEDIA = frozenset(MimeTypes().types_map[1])
"""Extensions of Python's own table, which is the same on every machine."""
_PAGES = frozenset((".htm", ".html", ".xhtml", ".xht", ".shtml", ".php"))


class Crawl:
    """Breadth first. Links that may not be followed are passed over; the first page says why when it is one."""

    def __init__(
        self,
        spec: CrawlSource,
        fetcher: SafeFetcher,
        limits: SourceLimits | None = None,
        known: Mapping[str, Known] | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`known` is what the last run was told, by address; pages whose links are wanted are read all the same."""
        self._site = Site(spec, fetcher, limits, known, pause)
        self._depth = spec.depth

    async def items(self) -> AsyncGenerator[Found, None]:
        site = self._site
        async with aclosing(at_most(site.limits.max_items, self._everything(), site.start.url)) as found:
            async for item in found:
                yield item

    async def _everything(self) -> AsyncGenerator[Found, None]:
        site, count = self._site, 0
        waiting, seen = deque([(site.start, 0)]), {site.start.url}
        while waiting:
            address, depth = waiting.popleft()
            if count and not await site.allows(address):
                continue
            if count >= site.max_pages:
                reason = f"There are more than {site.max_pages:,} pages; the rest was left out."
                yield SourceFailure("", site.start.url, reason)
                return
            count += 1
            file = await site.page(address, anew=depth < self._depth)
            if not isinstance(file, WebFile):
                yield file
                continue
            said = await site.said(file)
            if depth < self._depth and not (file.nofollow or said["nofollow"]):
                for there in self._links(file.address, said):
                    if there.url not in seen and len(waiting) < MAX_WAITING:
                        seen.add(there.url)
                        waiting.append((there, depth + 1))
            if file.address != address and file.address.url in seen:
                file.arrival.content.close()
                continue  # It is read, or will be, under its own address.
            seen.add(file.address.url)
            async with aclosing(site.documents(file, said)) as found:
                async for item in found:
                    yield item

    def _links(self, page: WebAddress, said: Mapping[str, Any]) -> list[WebAddress]:
        found = [followed(page, link, said["base"]) for link in said["links"]]
        return [
            address for address in found if address is not None and self._site.owns(address) and _may_be_text(address)
        ]


def _may_be_text(address: WebAddress) -> bool:
    """Pictures, programs and archives are not read only to be refused; unknown endings may be pages."""
    extension = extension_of(address)
    return extension in EXTENSIONS or f".{extension}" in _PAGES or f".{extension}" not in _MEDIA
