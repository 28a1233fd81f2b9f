"""`loquent ingest` from beginning to end: a job, its documents, its progress, and what became of it."""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from cluster.embedded.process import SetupError
from cluster.ingestion.client import KnowledgeClient
from cluster.ingestion.handing_over import Counts, HandOver
from cluster.ingestion.progress_view import ProgressView
from pipelines.sources.found import Source

Answer = dict[str, Any]
SHOWN_FAILURES = 20
MOST_FAILURES = 10_000
"""In the output for programs."""
NOTE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done. Exactly one of `source` and `spec` is set."""

    url: str
    chatbot_id: str
    auth: httpx.Auth
    name: str = ""
    source: Source | None = None
    """Read here and handed over."""
    place: str = ""
    """The name under which the platform knows where its documents are."""
    spec: Answer | None = None
    """Read by the platform."""
    replace: bool | None = None
    wait: bool = True
    transport: httpx.AsyncBaseTransport | None = None
    """How the platform is reached, where that is not over the network."""


@dataclass(slots=True)
class Outcome:
    job: Answer = field(default_factory=dict)
    counts: Counts | None = None
    """Of a source that was read here."""
    failures: list[Answer] = field(default_factory=list)
    """`name` and `reason` of what is not searchable, as far as they are asked for."""
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        return int(self.job["failed"]) + (len(self.counts.failures) if self.counts else 0)

    @property
    def well(self) -> bool:
        """Whether nothing failed, as far as is known."""
        return not self.failed and self.job["state"] not in ("failed", "cancelled")

    def as_json(self) -> Answer:
        counts = self.counts
        sent = {} if counts is None else {"sent": counts.sent, "duplicates": counts.duplicates}
        return {"job": self.job, **sent, "failures": self.failures, "seconds": round(self.seconds, 1)}


class Ingestion:
    """One run of the command; `interrupt` after it was left early."""

    def __init__(self, work: Work, console: Console, *, most_failures: int = SHOWN_FAILURES) -> None:
        self._work = work
        self._console = console
        self._most_failures = most_failures
        self.job_id = ""

    async def run(self) -> Outcome:
        """Raises SetupError."""
        began = time.monotonic()
        work = self._work
        async with self._client() as client:
            job = await client.create_job(work.spec or {"kind": "upload"}, work.name, work.replace)
            self.job_id = job["id"]
            outcome = Outcome(job)
            with ProgressView(self._console) as view:
                watching = asyncio.create_task(self._watch(client, view, outcome))
                try:
                    if work.source is not None:
                        await self._hand_over(client, work.source, view, outcome)
                    if work.wait:
                        await watching
                finally:
                    watching.cancel()
                    with suppress(asyncio.CancelledError, SetupError):
                        await watching
            if not work.wait:
                outcome.job = await client.job(self.job_id)
            outcome.seconds = time.monotonic() - began
            if outcome.job["failed"]:
                listed = await client.failures(self.job_id, self._most_failures)
                outcome.failures = [{"name": one["name"], "reason": one["reason"]} for one in listed]
            if outcome.counts:
                outcome.failures += [{"name": name, "reason": reason} for name, reason in outcome.counts.failures]
        return outcome

    async def interrupt(self, *, cancel: bool) -> None:
        """End the job as it is: cancelled, or with what it has got so far. Raises SetupError."""
        if self.job_id:
            async with self._client() as client:
                if cancel:
                    await client.cancel(self.job_id)
                elif self._work.source is not None:
                    await client.seal(self.job_id)

    def _client(self) -> KnowledgeClient:
        work = self._work
        return KnowledgeClient(work.url, work.chatbot_id, work.auth, transport=work.transport)

    async def _hand_over(self, client: KnowledgeClient, source: Source, view: ProgressView, outcome: Outcome) -> None:
        hand_over = HandOver(client, self.job_id, source, self._work.place)
        outcome.counts = hand_over.counts
        noting = asyncio.create_task(_note(view, hand_over.counts))
        try:
            await hand_over.run()
        finally:
            noting.cancel()
            view.note(hand_over.counts)
            # Also when the platform takes no more: what it has got is to end.
            outcome.job = await client.seal(self.job_id)

    async def _watch(self, client: KnowledgeClient, view: ProgressView, outcome: Outcome) -> None:
        async with aclosing(client.watch(self.job_id)) as jobs:
            async for job in jobs:
                outcome.job = job
                view.show(job)


async def _note(view: ProgressView, counts: Counts) -> None:
    while True:
        view.note(counts)
        await asyncio.sleep(NOTE_SECONDS)


def show(outcome: Outcome, console: Console) -> None:
    """The summary."""
    console.print(summary_of(outcome), highlight=False)
    for one in outcome.failures[:SHOWN_FAILURES]:
        console.print(f"[red]✗[/red] {escape(one['name'])}: {escape(one['reason'])}", highlight=False)
    if (more := outcome.failed - SHOWN_FAILURES) > 0:
        console.print(f"… and {more:,} more.", highlight=False)


def summary_of(outcome: Outcome) -> str:
    """What became of the documents, in a sentence or two."""
    job = outcome.job
    if job["ended_at"] is None:
        return f"Job {job['id']} goes on: {job['found']:,} documents so far, {job['waiting']:,} wait."
    parts = []
    if job["ready"] or not job["unchanged"]:
        parts.append(f"{job['ready']:,} documents searchable, {job['chunks']:,} chunks")
    if job["unchanged"]:
        parts.append(f"{job['unchanged']:,} unchanged")
    if outcome.counts and outcome.counts.duplicates:
        parts.append(f"{outcome.counts.duplicates:,} with the content of another file")
    parts.append(f"{outcome.failed:,} failed")
    sentence = f"{', '.join(parts)}, in {outcome.seconds:,.1f} s."
    if outcome.counts is not None and not outcome.counts.sent and not outcome.failed:
        sentence += " Nothing was sent."
    if job["state"] == "cancelled":
        sentence += " The job was cancelled."
    if job["reason"]:
        sentence += f" {escape(job['reason'])}"
    return sentence
