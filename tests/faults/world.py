"""The world of the fault runs: one installation with scripted engines, its tenants, and PostgreSQL behind a proxy."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import yaml

from cluster.embedded.postgres import EmbeddedPostgres
from cluster.embedded.process import SetupError, free_port
from storage.postgres.migrator import role_urls
from tests.faults.journal import Journal
from tests.faults.node import SecondNode
from tests.faults.proxy import PostgresProxy
from tests.fixtures.installation_folder import installation_folder
from tests.fixtures.platform import Platform

RATE = 40.0
"""Tokens per second of an answer."""
RESTART_SECONDS = 120.0
TEACH_SECONDS = 180.0
PLAN = "pro"
"""Its budget outlasts any number of runs."""


@dataclass(frozen=True)
class Tenant:
    id: str
    token: str
    canary: str
    """A word that only this tenant's questions hold."""
    bot: str


class World:
    def __init__(self, platform: Platform, postgres: EmbeddedPostgres, proxy: PostgresProxy, system_url: str) -> None:
        self.platform = platform
        self.postgres = postgres
        self.proxy = proxy
        self.system_url = system_url
        self.tenants: list[Tenant] = []
        self.journal = Journal()
        """Of the run that goes on."""
        self.node = SecondNode(platform)
        self.http = httpx.AsyncClient(base_url=platform.url, timeout=5.0)

    async def add_tenant(self) -> Tenant:
        """A tenant with a bot that repeats the question."""
        body = {"email": f"{uuid4().hex}@example.com", "password": "a long password", "company": "Fault"}
        token = (await self._post("/auth/register", None, body))["access_token"]
        config = {"model": "echo", "max_tokens": 512, "retrieval": {"grounding": "open", "min_score": 0.0}}
        bot = await self._post("/chatbots", token, {"name": "Echo", "config": config})
        tenant_id = await self._promote(str(bot["id"]))
        tenant = Tenant(tenant_id, token, f"canary{uuid4().hex[:12]}", str(bot["id"]))
        await self._teach(tenant)
        self.tenants.append(tenant)
        return tenant

    async def _teach(self, tenant: Tenant) -> None:
        """Give the bot a document, so that every question is embedded, searched for and cited."""
        text = f"{tenant.canary} is the word of this company. It has word1, word2 and word3 in its notes.\n"
        headers = {"Authorization": f"Bearer {tenant.token}"}
        path = f"/knowledgebase/{tenant.bot}"
        answer = await self.http.post(f"{path}/upload", files=[("files", ("notes.txt", text))], headers=headers)
        answer.raise_for_status()
        [document] = answer.json()["documents"]
        async with asyncio.timeout(TEACH_SECONDS):
            while document["status"] != "ready":
                if document["status"] == "failed":
                    raise RuntimeError(f"the document of the runs failed: {document}")
                await asyncio.sleep(0.2)
                answer = await self.http.get(f"{path}/documents/{document['id']}", headers=headers)
                document = answer.raise_for_status().json()

    async def new_session(self, tenant: Tenant) -> str:
        """Raises httpx.HTTPError while the platform cannot."""
        return str((await self._post(f"/chatbots/{tenant.bot}/sessions", tenant.token, None))["id"])

    async def restart_postgres(self) -> None:
        """Start the server again; it may still be replaying its log when the first try ends."""
        deadline = time.monotonic() + RESTART_SECONDS
        child = self.postgres.child
        while child is not None and child.exit_code is None and time.monotonic() < deadline:
            # Until it is asked for its exit code, the dead server is a process that holds its lock file.
            await asyncio.sleep(0.05)
        while True:
            try:
                await asyncio.to_thread(self.postgres.open)
                return
            except SetupError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)

    async def _promote(self, bot: str) -> str:
        """Give the bot's tenant the plan of the runs; returns the tenant's id."""
        async with await psycopg.AsyncConnection.connect(self.system_url) as connection:
            statement = """
                update tenants set plan = %s
                where id = (select tenant_id from chatbots where id = %s) returning id::text"""
            row = await (await connection.execute(statement, (PLAN, bot))).fetchone()
        assert row is not None
        return str(row[0])

    async def _post(self, path: str, token: str | None, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.post(path, json=body, headers=headers)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def open_world(tenants: int) -> AsyncIterator[World]:
    """Start everything and add the tenants; stops everything at the end, also what a fault has left."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(installation_folder("loquent-faults-"))
        # A port of its own choice that stays: the proxy goes on to it after a restart.
        postgres = EmbeddedPostgres(folder / "postgres", port=free_port())
        running = await asyncio.to_thread(postgres.open)
        stack.push_async_callback(asyncio.to_thread, postgres.close)
        proxy = await stack.enter_async_context(PostgresProxy(running.port).listening())
        secret = token_urlsafe(32)
        settings = {
            "DATABASE_URL": running.url.replace(f":{running.port}/", f":{proxy.port}/"),
            "LOQUENT_SECRET_KEY": secret,
            "LOQUENT_MODELS_FILE": str(_write_models(folder)),
            "LOQUENT_DEFAULT_MODEL": "echo",
            "LOQUENT_LOCAL_ENGINE": "none",
            "LOQUENT_ACCESS_TOKEN_MINUTES": "1440",
        }
        platform = Platform(folder, settings)
        stack.push_async_callback(asyncio.to_thread, platform.stop)
        await asyncio.to_thread(platform.start)
        world = World(platform, postgres, proxy, role_urls(running.url, secret)[1])
        stack.push_async_callback(world.http.aclose)
        stack.push_async_callback(asyncio.to_thread, world.node.close)
        for _ in range(tenants):
            await world.add_tenant()
        yield world


def _write_models(folder: Path) -> Path:
    """An engine that repeats the question's words at a steady pace."""
    file = folder / "models.yaml"
    table = {
        "engines": {"echo": {"kind": "scripted", "options": {"tokens_per_second": RATE}}},
        "models": {"echo": {"engines": ["echo"], "context_tokens": 8192}},
    }
    file.write_text(yaml.safe_dump(table), "utf-8")
    return file
