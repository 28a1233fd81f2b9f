"""Files by their addresses, each as a person would open it: robots.txt speaks to robots that wander."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from domain.sources import UrlSource
from pipelines.sources.found import Found, Known, SourceLimits, at_most
from pipelines.sources.intake import Intake
from pipelines.sources.web_files import WebFile, WebReader
from storage.web import SafeFetcher


class UrlDocuments:
    """In the order that the addresses were given in."""

    def __init__(
        self,
        spec: UrlSource,
        fetcher: SafeFetcher,
        limits: SourceLimits | None = None,
        known: Mapping[str, Known] | None = None,
    ) -> None:
        """`known` is what the last run was told, by address."""
        self._urls = list(dict.fromkeys(spec.urls))
        self._limits = limits or SourceLimits()
        self._intake = Intake(self._limits, spec.columns)
        self._reader = WebReader(fetcher, self._intake, known)

    async def items(self) -> AsyncGenerator[Found, None]:
        async with aclosing(at_most(self._limits.max_items, self._everything(), self._urls[0])) as found:
            async for item in found:
                yield item

    async def _everything(self) -> AsyncGenerator[Found, None]:
        for url in self._urls:
            # Of any declared type: many servers know archives and tables by no name of ours.
            file = await self._reader.read(url, None)
            if not isinstance(file, WebFile):
                yield file
                continue
            async with aclosing(self._intake.found(file.arrival)) as found:
                async for item in found:
                    yield item
