"""The canary probe on a live gateway: it finds nothing, and it finds each hole that is made for it."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from starlette.responses import Response
from typer.testing import CliRunner

from cluster import probe_command
from cluster.command import app
from cluster.probe import Report, load_or_new, probe, remove
from cluster.probe.marks import Marks
from cluster.probe.operations import operations_of
from cluster.probe.run import planted
from deployments.gateway.principal import PUBLIC
from domain.conversation import Question
from domain.errors import Forbidden, NotFound
from domain.ids import SessionId, TenantId
from storage.postgres.database import system_tx
from storage.postgres.isolation import VisibleRows
from tests.fixtures.gateway import Chat, SocketRig, Tenant
from tests.fixtures.stored_turns import store_turn


@dataclass
class Desk:
    """A gateway, an own database of it, and the probe's file."""

    live: SocketRig
    state: Path
    owner_url: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.live.port}"

    async def run(self) -> Report:
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            rows = VisibleRows(self.live.rig.services.db)
            return await probe(http, self.url.replace("http", "ws"), self.state, rows, wait_seconds=0.2)

    async def answer(self) -> None:
        """Give tenant A's question its answer, which the twin of the session hosts does not store."""
        canaries = load_or_new(self.state)
        async with httpx.AsyncClient(base_url=self.url) as http:
            log_in = {"email": canaries.a.email, "password": canaries.a.password}
            grant = (await http.post("/auth/login", json=log_in)).json()
        chat = Chat(Tenant(self.live.rig.http, grant, ""), canaries.a.ids["chatbot_id"], canaries.a.ids["session_id"])
        await store_turn(
            self.live.rig, chat, canaries.words["message"], answer=f"You said {canaries.words['message']}."
        )

    async def owner(self, statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.owner_url, autocommit=True) as connection:
            await connection.execute(statement.encode())


@pytest.fixture
def postgres_url(make_database: Callable[[], str]) -> str:
    """A database of its own: holes are made in it."""
    return make_database()


@pytest.fixture
async def desk(socket_rig: SocketRig, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With the canaries planted; like the real session hosts, the twin knows no turns of other sessions."""
    submit = socket_rig.rig.conversations.submit

    async def known(
        tenant: TenantId, session: SessionId, question: Question, request: str
    ) -> AsyncGenerator[Any, None]:
        if question.edits or question.regenerates:
            raise NotFound
        async for event in submit(tenant, session, question, request):
            yield event

    monkeypatch.setattr(socket_rig.rig.conversations, "submit", known)
    desk = Desk(socket_rig, tmp_path / "probe.json", postgres_url)
    async with httpx.AsyncClient(base_url=desk.url, timeout=60) as http:
        await planted(http, desk.state, 0)
    await desk.answer()
    return desk


@pytest.mark.timeout(300)
async def test_nothing_is_found_and_everything_was_looked_at(desk: Desk) -> None:
    report = await desk.run()
    assert report.finds == []
    assert report.missing == ["a searchable document"]
    document = (await desk.live.rig.http.get("/openapi.json")).json()
    operations = list(operations_of(document))
    print(f"{len(operations)} operations; {dict(report.checks)}; {dict(report.answers)}")
    assert len(operations) > 25
    assert report.checks["http"] > 5 * len(operations)
    assert report.checks["socket"] >= 10
    assert report.checks["tables"] >= 17
    assert report.answers[200] >= 10
    # `/readyz` has no models to be ready with.
    assert {status for status in report.answers if status >= 500} <= {503}
    canaries = load_or_new(desk.state)
    assert {"message_id", "turn_id", "question_id", "document_id", "visitor_id", "session_id"} <= set(canaries.a.ids)
    assert desk.state.stat().st_mode & 0o777 == 0o600
    async with httpx.AsyncClient(base_url=desk.url) as http:
        await remove(http, canaries)
    async with system_tx(desk.live.rig.services.db) as tx:
        row = await (await tx.execute("select count(*) as n from chatbots")).fetchone()
    assert row == {"n": 0}


async def test_rows_without_row_level_security_are_found(desk: Desk) -> None:
    """Although no route shows them: the statements name their tenant too."""
    services, canaries = desk.live.rig.services, load_or_new(desk.state)
    words = list(canaries.words.values())
    async with system_tx(services.db) as tx:
        rows = await (await tx.execute("select tenant_id, name from chatbots")).fetchall()
    tenants = {row["name"] == canaries.words["bot"]: str(row["tenant_id"]) for row in rows}
    read, showing = await VisibleRows(services.db).tables_showing(tenants[False], words, tenants[True])
    assert read >= 17
    assert showing == []
    for table, statement in (
        ("messages", "alter table messages disable row level security"),
        ("documents", "alter table documents disable row level security"),
        ("sessions", "create policy oops on sessions to public using (true)"),
    ):
        await desk.owner(statement)
        for tenant in (tenants[False], None):
            assert table in (await VisibleRows(services.db).tables_showing(tenant, words, tenants[True]))[1]


@pytest.mark.timeout(300)
async def test_every_hole_is_found_without_being_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, words = desk.live.rig, load_or_new(desk.state).words
    home = "/chatbots/{chatbot_id}/sessions/{session_id}"

    async def row_of(session_id: UUID) -> dict[str, Any] | None:
        async with system_tx(rig.services.db) as tx:
            query = (
                "select b.name, b.id as chatbot_id from sessions s"
                " join chatbots b on b.id = s.chatbot_id where s.id = %s"
            )
            return await (await tx.execute(query, [session_id])).fetchone()

    async def title(chatbot_id: UUID, session_id: UUID) -> dict[str, Any]:
        """Forgets the tenant."""
        if (row := await row_of(session_id)) is None:
            raise NotFound
        return dict(row)

    async def telling(session_id: UUID) -> None:
        """Says that it is there."""
        raise NotFound if await row_of(session_id) is None else Forbidden

    async def header() -> Response:
        return Response(headers={"X-Last-Bot": words["bot"].upper()})

    async def open_any(tenant_id: TenantId, session_id: UUID) -> dict[str, Any]:
        row = await row_of(session_id)
        assert row is not None
        none: dict[str, Any] = {"visitor_id": None, "active_turn": None, "undelivered": [], "max_connections": 5}
        return {"chatbot_id": str(row["chatbot_id"]), "chatbot_name": "Bot", "greeting": words["greeting"], **none}

    needs = {"x-permission": "conversations.read"}
    rig.app.add_api_route(f"{home}/title", title, openapi_extra=needs)
    rig.app.add_api_route("/telling/{session_id}", telling, openapi_extra=needs)
    rig.app.add_api_route("/last", header, openapi_extra=PUBLIC)
    rig.app.openapi_schema = None
    rig.services.metrics.requests.labels("GET", words["session"], "200").inc()
    rig.conversations.words = ["It is ", words["document"], "."]
    monkeypatch.setattr(rig.conversations, "open_session", open_any)
    await desk.owner("alter table outbox disable row level security")
    found = {(find.surface, find.who, find.what) for find in (await desk.run()).finds}
    for who in ("owner", "visitor", "nobody"):
        assert (f"GET {home}/title", who, "the word in the bot") in found
    assert (f"GET {home}/title", "owner", "answered 200 for another tenant's id, 404 for an unknown one") in found
    assert (
        "GET /telling/{session_id}",
        "owner",
        "answered 403 for another tenant's id, 404 for an unknown one",
    ) in found
    assert ("GET /last", "nobody", "the word in the bot") in found
    assert ("GET /metrics", "nobody", "the word in the session") in found
    assert ("socket auth", "owner", "another tenant's session was opened") in found
    assert ("socket auth", "owner", "the word in the greeting") in found
    assert ("retrieval", "owner", "the word in the document") in found
    assert ("table outbox", "tenant B", "rows of another tenant") in found
    assert {surface for surface, _, _ in found} == {
        f"GET {home}/title",
        "GET /telling/{session_id}",
        "GET /last",
        "GET /metrics",
        "socket auth",
        "socket resume",
        "retrieval",
        "table outbox",
    } | {surface for surface, _, _ in found if surface.startswith("socket ")}


def test_marks_are_found_in_any_case_and_echoes_are_none() -> None:
    marks = Marks({"the word": "canaryabc"}, {"the id": "0190-AB"})
    assert marks.found_in("x CANARYabc x") == ["the word"]
    assert marks.found_in("id 0190-ab") == ["the id"]
    assert marks.found_in("id 0190-ab", "/things/0190-ab") == []


def test_the_command_says_when_it_cannot_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    runner = CliRunner()
    away = runner.invoke(app, ["probe", "--url", "http://127.0.0.1:9"])
    assert away.exit_code == 2
    assert "does not answer" in away.output
    (tmp_path / "probe.json").write_text("{}")
    assert runner.invoke(app, ["probe", "--url", "http://127.0.0.1:9"]).exit_code == 2


def test_a_find_is_status_one_a_line_and_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    reports = [Report(), Report()]
    reports[1].add("GET /x", "owner", ["the word in the bot"])

    async def scripted(*_: Any) -> Report:
        return reports.pop(0)

    monkeypatch.setattr(probe_command, "_probe", scripted)
    done = CliRunner().invoke(app, ["probe", "--url", "http://x", "--every", "0.01"])
    assert done.exit_code == 1
    assert "GET /x, as owner: the word in the bot" in done.output
    assert reports == []
    assert "loquent_probe_finds 1.0" in (tmp_path / "probe.prom").read_text()
