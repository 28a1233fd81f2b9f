"""What `loquent ingest` sends and says, against a twin of the platform that keeps its documents in memory."""

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass, field
from email import message_from_bytes
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from cluster.embedded.process import SetupError
from cluster.ingestion.credentials import ApiKey
from cluster.ingestion.progress_view import detail_of
from cluster.ingestion.run import Ingestion, Outcome, Work, show, summary_of
from pipelines.sources.local import LocalSource

JOB = {
    "id": "job-1",
    "state": "running",
    "reason": None,
    "chunks": 0,
    "failed": 0,
    "documents_per_second": 0.0,
    "chunks_per_second": 0.0,
    "seconds_left": None,
    "sealed_at": None,
    "ended_at": None,
}


@dataclass
class TwinPlatform:
    """Every document has one chunk at once, but for one that says `bad`."""

    contents: set[str] = field(default_factory=set)
    uploads: list[tuple[str, str]] = field(default_factory=list)
    """Name and source of what was sent."""
    unchanged: set[str] = field(default_factory=set)
    queued: set[str] = field(default_factory=set)
    failures: list[dict[str, str]] = field(default_factory=list)
    sealed: bool = False
    cancelled: bool = False
    quota: int = 1_000

    def begin(self) -> None:
        """A new job."""
        self.unchanged, self.queued, self.failures, self.sealed = set(), set(), [], False

    @property
    def job(self) -> dict[str, Any]:
        ready = len(self.queued)
        found = ready + len(self.unchanged) + len(self.failures)
        counts = {"found": found, "waiting": 0, "unchanged": len(self.unchanged), "ready": ready, "chunks": ready}
        ended = {"state": "completed", "sealed_at": "now", "ended_at": "now"} if self.sealed else {}
        return {**JOB, **counts, "failed": len(self.failures), **ended}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer key"
        match request.url.path.rpartition("/")[2]:
            case "jobs":
                self.begin()
                return httpx.Response(202, json=self.job)
            case "hashes":
                hashes = json.loads(request.content)["hashes"]
                known = [one for one in hashes if one in self.contents]
                self.unchanged |= set(known)
                return httpx.Response(200, json={"known": known})
            case "upload":
                return self.take(request)
            case "seal":
                self.sealed = True
            case "cancel":
                self.cancelled = True
            case "failures":
                return httpx.Response(200, json={"items": self.failures, "next_cursor": None})
            case "events":
                kind = "end" if self.sealed else "progress"
                return httpx.Response(200, text=f"id: 1\nevent: {kind}\ndata: {json.dumps(self.job)}\n\n")
        return httpx.Response(200, json=self.job)

    def take(self, request: httpx.Request) -> httpx.Response:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form: Any = message_from_bytes(head + request.content)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
        data, name = parts["files"].get_payload(decode=True), parts["files"].get_filename()
        if len(self.contents) >= self.quota:
            return httpx.Response(402, json={"error": {"message": "The Free plan allows no more documents."}})
        if data == b"bad":
            self.failures.append({"name": str(name), "reason": "It is bad."})
            return httpx.Response(202, json={"documents": [], "refused": self.failures[-1:]})
        digest = hashlib.sha256(data).hexdigest()
        self.contents.add(digest)
        self.queued.add(digest)
        self.uploads.append((str(name), parts["source"].get_payload()))
        return httpx.Response(202, json={"documents": [{"id": digest}], "refused": []})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "more").mkdir(parents=True)
    for number in range(120):
        (folder / ("more" if number % 2 else ".") / f"{number}.txt").write_text(f"Page {number} of the handbook.")
    (folder / "copy.txt").write_text("Page 0 of the handbook.")
    return folder


async def run(twin: TwinPlatform, path: Path, **more: Any) -> tuple[Outcome, str]:
    console = Console(record=True, width=200, file=StringIO())
    transport = httpx.MockTransport(twin.answer)
    work = Work(
        "http://twin.test",
        "bot",
        ApiKey("key"),
        source=LocalSource(str(path)),
        place=path.name,
        transport=transport,
        **more,
    )
    outcome = await asyncio.wait_for(Ingestion(work, console).run(), 30)
    show(outcome, console)
    return outcome, console.export_text()


async def test_a_second_run_sends_only_what_changed_and_says_so(folder: Path) -> None:
    twin = TwinPlatform()
    first, said = await run(twin, folder)
    assert len(twin.uploads) == 120
    assert first.well
    assert re.search(r"120 documents searchable, 120 chunks, 1 with the content of another file, 0 failed, in", said)
    assert {source for _, source in twin.uploads} >= {"handbook/0.txt", "handbook/more/1.txt"}

    again, said = await run(twin, folder)
    assert len(twin.uploads) == 120
    assert again.well
    assert "120 unchanged" in said
    assert "Nothing was sent." in said

    (folder / "0.txt").write_text("Page 0, revised.")
    third, said = await run(twin, folder)
    assert twin.uploads[120:] == [("0.txt", "handbook/0.txt")]
    assert third.counts is not None
    assert (third.counts.sent, third.counts.unchanged) == (1, 120), "the copy of the page is the page now"


async def test_failures_of_both_sides_are_told_and_the_rest_is_done(folder: Path) -> None:
    (folder / "bad.txt").write_text("bad")
    (folder / "program.exe").write_bytes(b"MZ\x90\x00\x03\x00")
    outcome, said = await run(TwinPlatform(), folder)
    assert (outcome.failed, outcome.well, outcome.job["ready"]) == (2, False, 120)
    assert "✗ bad.txt: It is bad." in said
    assert "program.exe: " in said
    assert {one["name"].rpartition("/")[2] for one in outcome.as_json()["failures"]} == {"bad.txt", "program.exe"}


async def test_a_platform_that_takes_no_more_ends_the_run_with_its_sentence(folder: Path) -> None:
    twin = TwinPlatform(quota=10)
    with pytest.raises(SetupError, match="allows no more documents"):
        await run(twin, folder)
    assert twin.sealed, "what it has got is to end"


async def test_nobody_waits_who_does_not_want_to(folder: Path) -> None:
    outcome, said = await run(TwinPlatform(), folder, wait=False)
    assert outcome.job["id"] == "job-1"
    assert outcome.seconds < 30
    assert "120" in said


def test_the_view_says_how_far_it_is() -> None:
    speeds = {"documents_per_second": 12.34, "chunks_per_second": 56.78, "seconds_left": 3_725.2}
    running = {**JOB, **speeds, "chunks": 1_234, "failed": 2}
    assert detail_of(running) == ("1,234 chunks · 12.3 documents/s, 56.8 chunks/s · 1:02:05 left · [red]2 failed[/red]")
    assert detail_of({**running, "ended_at": "now", "failed": 0}) == "1,234 chunks"


def test_the_summary_of_a_job_that_was_cancelled_says_so() -> None:
    job = {**JOB, "ended_at": "now", "state": "cancelled", "found": 1, "waiting": 0, "unchanged": 0, "ready": 1}
    assert summary_of(Outcome(job)).endswith("The job was cancelled.")
