"""Hands a source's documents over to a job: what the platform has is not sent, the rest several at a time."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from cluster.embedded.process import SetupError
from cluster.ingestion.client import KnowledgeClient, Refused
from pipelines.sources.found import Source, SourceFailure, SourceItem

UPLOADS = 4
"""At the same time."""
GROUP = 50
"""Documents whose hashes are asked for together, and that are open meanwhile."""


@dataclass(slots=True)
class Counts:
    """What has become of what was found, as far as the client knows."""

    found: int = 0
    sent: int = 0
    unchanged: int = 0
    duplicates: int = 0
    """The same content as another file of this run."""
    refused: int = 0
    """By the platform, which lists them."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Of what could not be read here: where it is, and why."""
    complete: bool = False
    """Whether everything has been found."""

    @property
    def handed_over(self) -> int:
        return self.sent + self.unchanged + self.duplicates + self.refused


class HandOver:
    def __init__(self, client: KnowledgeClient, job_id: str, source: Source, place: str) -> None:
        """`place` is the name under which the platform knows where the documents are."""
        self._client = client
        self._job_id = job_id
        self._source = source
        self._place = place
        self._seen: set[str] = set()
        self._queue: asyncio.Queue[SourceItem | None] = asyncio.Queue(UPLOADS)
        self.counts = Counts()

    async def run(self) -> Counts:
        """Returns when everything has been handed over. Raises SetupError when the platform takes no more."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(UPLOADS):
                    tasks.create_task(self._upload())
                tasks.create_task(self._find())
        except* SetupError as group:
            raise group.exceptions[0] from None
        finally:
            while not self._queue.empty():
                if (left := self._queue.get_nowait()) is not None:
                    left.content.close()
        return self.counts

    async def _find(self) -> None:
        group: list[SourceItem] = []
        try:
            async with aclosing(self._source.items()) as items:
                async for item in items:
                    if isinstance(item, SourceFailure):
                        self.counts.failures.append((item.source, item.reason))
                    elif isinstance(item, SourceItem):
                        self._note(item, group)
                    if len(group) == GROUP:
                        await self._pass_on(group)
            await self._pass_on(group)
        finally:
            for item in group:
                item.content.close()
        self.counts.complete = True
        for _ in range(UPLOADS):
            await self._queue.put(None)

    def _note(self, item: SourceItem, group: list[SourceItem]) -> None:
        self.counts.found += 1
        if item.content.content_hash in self._seen:
            self.counts.duplicates += 1
            item.content.close()
        else:
            self._seen.add(item.content.content_hash)
            group.append(item)

    async def _pass_on(self, group: list[SourceItem]) -> None:
        """Queue what the platform does not have; `group` is empty afterwards."""
        if not group:
            return
        told = {item.content.content_hash: dict(item.metadata) for item in group if item.metadata}
        known = await self._client.known([item.content.content_hash for item in group], self._job_id, told)
        while group:
            item = group[0]
            if item.content.content_hash in known:
                item.content.close()
                self.counts.unchanged += 1
            else:
                await self._queue.put(item)
            group.pop(0)

    async def _upload(self) -> None:
        while (item := await self._queue.get()) is not None:
            with item:
                data = await item.content.read()
            source = f"{self._place}/{item.key}" if self._place else item.source
            try:
                await self._client.upload(self._job_id, item.name, item.media_type, data, source, dict(item.metadata))
                self.counts.sent += 1
            except Refused:
                self.counts.refused += 1
