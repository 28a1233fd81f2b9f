"""Beside the database: Redis keys, paths of vectors, logs and metrics belong to a tenant and name nobody."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import structlog
from redis.asyncio import Redis

from domain.conversation import Question
from domain.documents import Chunk
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.postgres.database import system_tx
from storage.postgres.outbox import Outbox
from storage.redis.client import connect_redis
from storage.redis.event_log import EventLog
from storage.vectors.store import VectorStore
from tests.fixtures.desk import Desk, collect
from tests.fixtures.gateway import GatewayRig, Tenant

WORD = "Zweigelt"
"""In everything that people write below."""
HASH = "[0-9a-f]"
SHARED_KEYS = {
    rf"rate:[a-z]+:[a-z+]+:{HASH}{{32}}": "a hash of the address, person or tenant that is counted",
    r"endpoints:\{[a-z-]+\}:(expiries|entries)": "which processes there are",
    r"[a-z:.-]+:[0-9]+": "a partition of the event log; every entry names its tenant",
    r"[a-z:.{}-]+:(dead|lock|failures|parked).*": "of the readers of the event log",
}
"""Keys without a tenant, and why that is right."""


@pytest.fixture
async def keys(redis_url: str) -> AsyncIterator[Redis]:
    redis = connect_redis(redis_url)
    yield redis
    await redis.aclose()


async def talk(rig: GatewayRig, tenant: Tenant) -> list[httpx.Response]:
    """Everything that a tenant and its visitor write, with the word in it."""
    bot = (await tenant.post("/chatbots", json={"name": WORD, "config": {"persona": WORD}})).json()["id"]
    file = {"files": (f"{WORD}.txt", f"The {WORD} is red.".encode())}
    session = (await tenant.post(f"/chatbots/{bot}/sessions", json={"title": WORD})).json()["id"]
    visitor = (await rig.http.post(f"/chatbots/{bot}/visitors")).json()["token"]
    theirs = {"Authorization": f"Bearer {visitor}"}
    key = {"Idempotency-Key": f"{WORD}-1"}
    messages = f"/chatbots/{bot}/sessions/{session}/messages"
    return [
        await tenant.post(f"/knowledgebase/{bot}/upload", files=file),
        await tenant.post(messages, json={"text": f"What is {WORD}?"}, headers=key),
        await tenant.post(messages, json={"text": "x" * 90_000 + WORD}),
        await tenant.post(messages, json={WORD: WORD}),
        await tenant.get(f"/chatbots/{WORD}?{WORD}={WORD}"),
        await tenant.get(f"/{WORD}", headers={"X-Request-ID": "request-0001", "User-Agent": WORD, "Referer": WORD}),
        await tenant.call(WORD.upper(), "/me"),
        await rig.http.post(f"/chatbots/{bot}/sessions", headers=theirs, json={"title": WORD}),
        await rig.http.post("/auth/login", json={"email": f"{WORD}@example.com", "password": f"{WORD} {WORD}"}),
        await rig.http.get("/me", headers={"Authorization": f"Bearer {WORD}.{WORD}.{WORD}"}),
    ]


async def test_every_key_in_redis_belongs_to_a_tenant_or_has_a_reason(rig: GatewayRig, desk: Desk, keys: Redis) -> None:
    before = {key async for key in keys.scan_iter()}
    tenant = await rig.register()
    await talk(rig, tenant)
    await collect((await desk.activate()).submit(desk.session, Question("c1", f"What does {WORD} cost?")))
    found = {key async for key in keys.scan_iter()} - before
    tenants = (str(tenant.grant["tenant"]["id"]), str(desk.tenant))
    scoped = {key for key in found if any(owner in key for owner in tenants)}
    rest = {key for key in found - scoped if not any(re.fullmatch(pattern, key) for pattern in SHARED_KEYS)}
    print(f"{len(scoped)} keys with a tenant, {len(found - scoped)} with a reason")
    assert rest == set()
    assert {key.partition(":")[0] for key in scoped} >= {"idempotency", "replay"}
    assert "rate" in {key.partition(":")[0] for key in found - scoped}
    for key in found:
        assert WORD.lower() not in key.lower()
        assert tenant.email not in key


async def test_an_event_in_the_shared_log_names_its_tenant(desk: Desk, keys: Redis) -> None:
    await collect((await desk.activate()).submit(desk.session, Question("c1", "What does it cost?")))
    async with system_tx(desk.knowledge.db) as tx:
        events = await Outbox(tx).take_unpublished(1_000)
    assert events
    name = f"scope-{uuid4().hex}"
    await EventLog(keys).append(name, events)
    entries: list[Any] = []
    async for key in keys.scan_iter(match=f"{name}:*"):
        entries += cast("list[Any]", await keys.xrange(key))
    assert len(entries) == len(events)
    # In order per aggregate, so compared as a whole.
    said = sorted(re.search(rf"tenant_id\W+({UUID_TEXT})", str(fields))[1] for _, fields in entries)  # type: ignore[index]
    assert said == sorted(str(event.tenant_id) for event in events)


async def test_logs_and_metrics_name_tenants_and_nobody(rig: GatewayRig) -> None:
    tenant = await rig.register()
    secrets = [tenant.email, tenant.grant["access_token"], tenant.grant["refresh_token"], WORD]
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answers = await talk(rig, tenant)
    assert [answer.status_code for answer in answers] == [202, 202, 413, 422, 404, 404, 405, 201, 401, 401]
    requests = [entry for entry in logs if entry["event"] == "request"]
    assert len(requests) == len(answers) + 3
    signed_in = [entry for entry in requests if entry["status"] in (201, 202)]
    assert signed_in
    assert all(entry["tenant_id"] == tenant.grant["tenant"]["id"] for entry in signed_in)
    metrics = (await rig.http.get("/metrics")).text
    for text in (str(logs), metrics):
        for secret in secrets:
            assert secret.lower() not in text.lower()
    labels = set(re.findall(r"(\w+)=\"", metrics))
    assert labels <= {"method", "route", "status", "le", "code", "end", "direction", "kind"}
    assert tenant.grant["tenant"]["id"] not in metrics
    assert tenant.grant["user"]["id"] not in metrics


HOSTILE = [
    "../../escape",
    "x' or true --",
    "x'; drop table documents; --",
    '"); --',
    "a/b\\c:d",
    "$(touch x)`id`",
    "%s%n {0}",
    "\u202etxt",
    "*" * 300,
    "title:* AND (secret OR NOT x)",
    "'unclosed",
]
UUID_TEXT = f"{HASH}{{8}}-{HASH}{{4}}-{HASH}{{4}}-{HASH}{{4}}-{HASH}{{12}}"


async def test_paths_and_filters_of_vectors_hold_ids_only(tmp_path: Path) -> None:
    store = VectorStore(str(tmp_path / "objects"))
    tenant, bot = TenantId(uuid4()), ChatbotId(uuid4())
    vector = np.ones((1, 8), dtype=np.float32)
    documents = {DocumentId(uuid4()): text for text in HOSTILE}
    for document, text in documents.items():
        chunk = Chunk(0, 0, len(text), text, None, text)
        await store.add_document(tenant, bot, document, text, [chunk], vector)
    for text in HOSTILE:
        found = await store.search(tenant, bot, text, vector[0], top_k=20, min_score=0.0)
        assert {passage.document_name for passage in found} == set(HOSTILE)
        assert await store.search(TenantId(uuid4()), bot, text, vector[0], top_k=20, min_score=0.0) == []
    first, *others = documents
    await store.remove_document(tenant, bot, first)
    assert await store.count(tenant, bot) == len(others)
    check_paths(tmp_path, str(tenant))


def check_paths(folder: Path, tenant: str) -> None:
    """All files lie under the tenant's id; names are ids and LanceDB's own. A search leaves an empty folder."""
    assert {path.name for path in folder.iterdir()} <= {"objects"}
    files = [path.relative_to(folder / "objects") for path in folder.rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} == ({tenant} if tenant else set())
    allowed = re.compile(rf"({UUID_TEXT}|[\w.-]+)(\.lance)?")
    for path in folder.rglob("*"):
        assert all(allowed.fullmatch(part) for part in path.relative_to(folder).parts), path
        assert not any(word in path.name for word in ("escape", "drop", "secret", "unclosed"))


@pytest.mark.parametrize("text", [*HOSTILE, "", "..", str(UUID(int=1)) + "/../x", f"{UUID(int=1)}' or '1'='1"])
async def test_only_ids_reach_a_path_or_a_filter(tmp_path: Path, text: Any) -> None:
    store = VectorStore(str(tmp_path / "objects"))
    good: Any = uuid4()
    for tenant, bot, document in ((text, good, good), (good, text, good), (good, good, text)):
        with pytest.raises(ValueError, match="UUID"):
            await store.remove_document(tenant, bot, document)
        with pytest.raises(ValueError, match="UUID"):
            await store.count(tenant, bot, document)
    await asyncio.to_thread(check_paths, tmp_path, "")
