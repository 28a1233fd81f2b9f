"""What robots.txt allows, host by host (RFC 9309), and how long it asks us to wait between two pages."""

from protego import Protego

from domain.errors import AppError
from domain.web_address import WebAddress
from pipelines.sources.courtesy import Courtesy
from storage.web import AGENT, FetchFailed, SafeFetcher

DISALLOWED = "The site's robots.txt does not allow this page to be read."
MAX_BYTES = 500 * 1024
MAX_LINE = 2_000
LEAST_DELAY = 0.2
"""Seconds between two pages of one host."""
MOST_DELAY = 10.0
"""A host that asks for more would keep a job for days; it is not asked as often as it allows either."""


class Robots:
    """For one crawl; each host is asked once."""

    def __init__(self, fetcher: SafeFetcher, courtesy: Courtesy) -> None:
        self._fetcher = fetcher
        self._courtesy = courtesy
        self._rules: dict[str, Protego | None] = {}

    async def allows(self, address: WebAddress) -> bool:
        """Nothing is allowed where the rules cannot be had, as the RFC says; everything where there are none."""
        origin = f"{address.scheme}://{address.netloc}"
        if origin not in self._rules:
            self._rules[origin] = await self._read(address, f"{origin}/robots.txt")
        rules = self._rules[origin]
        return rules is not None and bool(rules.can_fetch(address.url, AGENT))

    def delay(self, address: WebAddress) -> float:
        """Seconds between two pages of the host."""
        rules = self._rules.get(f"{address.scheme}://{address.netloc}")
        asked = float((rules.crawl_delay(AGENT) if rules else None) or 0)
        return min(max(asked, LEAST_DELAY), MOST_DELAY)

    async def _read(self, address: WebAddress, url: str) -> Protego | None:
        try:
            data = await self._courtesy.ask(address, lambda: self._fetch(url))
        except FetchFailed as failure:
            missing = failure.answered is not None and 400 <= failure.answered < 500 and failure.answered != 429
            return Protego.parse("") if missing else None
        except AppError:
            return None
        lines = data[:MAX_BYTES].decode("utf-8", "replace").splitlines()
        return Protego.parse("\n".join(line[:MAX_LINE] for line in lines))

    async def _fetch(self, url: str) -> bytes:
        data = b""
        async with self._fetcher.get(url, 64 * MAX_BYTES, None) as fetched:
            async for piece in fetched.chunks:
                data += piece
                if len(data) > MAX_BYTES:
                    break  # The RFC lets us stop here, and keeps what came before in force.
        return data
