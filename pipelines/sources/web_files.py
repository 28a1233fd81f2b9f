"""Reads files and pages from the web for sources: what came, whether it is new, or why it could not be had."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.errors import AppError
from domain.page_address import canonical
from domain.web_address import WebAddress, parse_address
from pipelines.sources.content import Content
from pipelines.sources.courtesy import Courtesy
from pipelines.sources.found import Known, MetadataValue, SourceFailure, SourceUnchanged
from pipelines.sources.intake import Arrival, Intake
from pipelines.sources.naming import FETCHED_TYPES, name_of
from storage.web import AGENT, Fetched, SafeFetcher


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file that was read; its content belongs to whoever has it."""

    address: WebAddress
    """After redirects, in its one spelling."""
    arrival: Arrival
    noindex: bool
    nofollow: bool


class WebReader:
    """One file at a time through the safe door; `known` is what the last run was told, by source."""

    def __init__(
        self,
        fetcher: SafeFetcher,
        intake: Intake,
        known: Mapping[str, Known] | None = None,
        courtesy: Courtesy | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._courtesy = courtesy or Courtesy()
        self._intake = intake
        self._known = known or {}

    async def read(
        self,
        url: str,
        media_types: Collection[str] | None = FETCHED_TYPES,
        *,
        anew: bool = False,
        delay: float = 0.0,
    ) -> WebFile | SourceFailure | SourceUnchanged:
        """`anew` reads also what has not changed since the last run, for its links are wanted; `delay` is how long the
        host wants to be left alone afterwards, in seconds."""
        try:
            address = canonical(parse_address(url))
            return await self._courtesy.ask(address, lambda: self._read(address, media_types, anew), delay)
        except AppError as error:
            return SourceFailure(url, url, error.message)

    async def _read(
        self, address: WebAddress, media_types: Collection[str] | None, anew: bool
    ) -> WebFile | SourceUnchanged:
        content = Content()
        known = Known() if anew else self._known.get(address.url, Known())
        most = self._intake.most_bytes(address.target.partition("?")[0])
        try:
            async with self._fetcher.get(
                address.url, most, media_types, etag=known.etag, last_modified=known.last_modified
            ) as fetched:
                if fetched.unchanged:
                    content.close()
                    return SourceUnchanged(address.url, address.url)
                async for piece in fetched.chunks:
                    await content.write(piece)
        except BaseException:
            content.close()
            raise
        words = _robots_words(fetched.robots)
        return WebFile(
            canonical(fetched.address),
            Arrival(address.url, name_of(fetched), address.url, content, fetched.media_type, _told(fetched)),
            bool(words & {"noindex", "none"}),
            bool(words & {"nofollow", "none"}),
        )


def _told(fetched: Fetched) -> dict[str, MetadataValue]:
    told = {"etag": fetched.etag, "last_modified": fetched.last_modified}
    return {name: value for name, value in told.items() if value is not None}


def _robots_words(header: str) -> set[str]:
    """Of X-Robots-Tag: those for everybody and those for us; a rule for another robot ends the part for all."""
    words: set[str] = set()
    ours = True
    for part in header.lower().split(","):
        agent, colon, rule = part.partition(":")
        if colon and not re.fullmatch(r"\s*(?:max-[a-z-]+|unavailable_after)\s*", agent):
            ours = agent.strip() == AGENT.lower()
        if ours:
            words.add((rule if colon else part).strip())
    return words
