"""`loquent ingest` against the real gateway and supervisor: what is sent, what is not, and what is said about it."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Callable
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from actors.ingestion_supervisor import IngestionSupervisor
from cluster.embedded.process import SetupError
from cluster.ingestion.client import KnowledgeClient, Refused
from cluster.ingestion.credentials import LogIn
from cluster.ingestion.dry_run import cutting_for, estimate
from cluster.ingestion.run import Ingestion, Outcome, Work, show
from configs.settings import Settings
from pipelines.sources.local import LocalSource
from pipelines.work import WorkItem
from storage.postgres.migrator import role_urls
from tests.fixtures.conditions import eventually
from tests.fixtures.database import DATABASE_SECRET
from tests.fixtures.gateway import PASSWORD, Chat, SocketRig
from tests.fixtures.scripted_pipeline import POISON, ScriptedPipeline

FILES = 30


@pytest.fixture
def postgres_url(make_database: Callable[[], str]) -> str:
    """One of its own: the supervisor takes whatever is queued."""
    return make_database()


@pytest.fixture
async def supervisor(
    socket_rig: SocketRig, gateway_settings: Settings, postgres_url: str, pipeline: ScriptedPipeline
) -> AsyncIterator[IngestionSupervisor]:
    supervisor = IngestionSupervisor(gateway_settings, role_urls(postgres_url, DATABASE_SECRET))
    await supervisor.start()
    yield supervisor
    await supervisor.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "more").mkdir(parents=True)
    for number in range(FILES):
        (folder / ("more" if number % 2 else ".") / f"{number}.txt").write_text(f"Page {number} of the handbook.")
    (folder / "copy.txt").write_text("Page 0 of the handbook.")
    (folder / "program.exe").write_bytes(b"MZ\x90\x00\x03\x00")
    (folder / ".hidden").write_text("no document")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("inner.txt", "A page within an archive.")
    return folder


def work(socket_rig: SocketRig, chat: Chat, path: Path, **more: Any) -> Work:
    url = f"http://127.0.0.1:{socket_rig.port}"
    auth = LogIn(url, chat.tenant.email, PASSWORD)
    return Work(url, chat.bot, auth, source=LocalSource(str(path)), place=path.name, **more)


async def run(ingest: Work) -> tuple[Outcome, str]:
    console = Console(record=True, width=200, quiet=False, file=StringIO())
    outcome = await asyncio.wait_for(Ingestion(ingest, console).run(), 60)
    show(outcome, console)
    return outcome, console.export_text()


async def test_a_folder_is_ingested_and_a_second_run_sends_only_what_changed(
    socket_rig: SocketRig, chat: Chat, supervisor: IngestionSupervisor, folder: Path
) -> None:
    first, said = await run(work(socket_rig, chat, folder, name="Handbook"))
    assert (first.job["state"], first.job["ready"], first.job["failed"]) == ("completed", FILES + 1, 0)
    assert first.counts is not None
    assert (first.counts.sent, first.counts.duplicates) == (FILES + 1, 1)
    assert f"{FILES + 1} documents searchable, {FILES + 1} chunks" in said
    assert "program.exe" in said, "what cannot be read is named"
    assert not first.well

    (folder / "program.exe").unlink()
    again, said = await run(work(socket_rig, chat, folder))
    assert (again.job["unchanged"], again.job["ready"]) == (FILES + 1, 0)
    assert f"{FILES + 1} unchanged" in said
    assert "Nothing was sent." in said
    assert again.well

    (folder / "more" / "1.txt").write_text("Page 1 of the handbook, in its second edition.")
    third, _ = await run(work(socket_rig, chat, folder, replace=True))
    assert third.counts is not None
    assert (third.counts.sent, third.job["ready"], third.job["unchanged"]) == (1, 1, FILES)
    answer = await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents", params={"limit": 100, "name": "1.txt"})
    sizes = [one["size"] for one in answer.json()["items"] if one["source"] == "handbook/more/1.txt"]
    assert sizes == [len("Page 1 of the handbook, in its second edition.")], "the first edition is gone"


async def test_a_document_that_fails_is_told_and_the_others_are_searchable(
    socket_rig: SocketRig, chat: Chat, supervisor: IngestionSupervisor, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("good.txt", POISON):
        (folder / name).write_text(name)
    outcome, said = await run(work(socket_rig, chat, folder))
    assert (outcome.job["ready"], outcome.job["failed"], outcome.well) == (1, 1, False)
    assert f"✗ {POISON}: The document could not be processed after several attempts." in said


async def test_an_interrupted_run_can_be_cancelled(
    socket_rig: SocketRig, chat: Chat, supervisor: IngestionSupervisor, pipeline: ScriptedPipeline, folder: Path
) -> None:
    go_on = asyncio.Event()

    async def hold(item: WorkItem) -> None:
        await go_on.wait()

    pipeline.before_commit = hold
    ingestion = Ingestion(work(socket_rig, chat, folder), Console(quiet=True))
    running = asyncio.create_task(ingestion.run())
    await eventually(lambda: pipeline.runs)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await ingestion.interrupt(cancel=True)
    go_on.set()
    path = f"/knowledgebase/{chat.bot}/jobs/{ingestion.job_id}"

    async def stored() -> dict[str, Any]:
        found: dict[str, Any] = (await chat.tenant.get(path)).json()
        return found

    async def ended() -> bool:
        return (await stored())["ended_at"] is not None

    await eventually(ended)
    job = await stored()
    documents = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents", params={"limit": 100})).json()["items"]
    assert job["state"] == "cancelled"
    assert {one["status"] for one in documents} <= {"ready"}
    assert len(documents) == job["ready"]


async def test_a_dry_run_counts_and_stores_nothing(
    socket_rig: SocketRig, chat: Chat, supervisor: IngestionSupervisor, folder: Path
) -> None:
    await chat.tenant.post(
        f"/knowledgebase/{chat.bot}/upload", files={"files": ("0.txt", b"Page 0 of the handbook.", "text/plain")}
    )
    ingest = work(socket_rig, chat, folder)
    assert ingest.source is not None
    async with KnowledgeClient(ingest.url, chat.bot, ingest.auth) as client:
        cutting = await cutting_for(Settings(_env_file=None), client)
        found = await estimate(ingest.source, client, cutting, Console(quiet=True))
    assert (found.found, found.unchanged, found.documents, found.chunks) == (FILES + 2, 1, FILES, FILES)
    assert found.tokens >= 5 * FILES
    assert found.cost_micro == 0
    assert [name.rpartition("/")[2] for name, _ in found.failures] == ["program.exe"]
    documents = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents", params={"limit": 100})).json()["items"]
    assert [one["name"] for one in documents] == ["0.txt"]
    assert (await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs")).json()["items"] == []


async def test_the_client_waits_when_it_is_asked_to_and_signs_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("cluster.ingestion.client.asyncio.sleep", sleep)
    tokens: list[str] = []
    answers = iter(
        [
            httpx.Response(429, headers={"Retry-After": "7"}),
            httpx.Response(503, headers={"Retry-After": "100000"}),
            httpx.Response(401, json={"error": {"message": "Sign in."}}),
            httpx.Response(202, json={"documents": [{"id": "d"}], "refused": []}),
            httpx.Response(413, json={"error": {"message": "a.txt is larger than 1 MiB."}}),
            httpx.Response(402, json={"error": {"message": "The Free plan allows 50 documents per chatbot."}}),
        ]
    )

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/login":
            tokens.append(f"token-{len(tokens)}")
            return httpx.Response(200, json={"access_token": tokens[-1]})
        assert request.headers["authorization"] == f"Bearer {tokens[-1]}"
        return next(answers)

    url, transport = "http://platform.test", httpx.MockTransport(answer)
    async with KnowledgeClient(url, "bot", LogIn(url, "a", "b"), transport=transport) as client:
        assert await client.upload("job", "a.txt", "text/plain", b"a", "a.txt", {}) == {"id": "d"}
        assert pauses[0] == 7.0
        assert pauses[1] == 60.0, "no longer than that, whatever it says"
        assert len(tokens) == 2
        with pytest.raises(Refused, match="larger than"):
            await client.upload("job", "a.txt", "text/plain", b"a", "a.txt", {})
        with pytest.raises(SetupError, match="The Free plan allows 50"):
            await client.upload("job", "a.txt", "text/plain", b"a", "a.txt", {})
