"""`Idempotency-Key`: one effect for any number of attempts, of one person, at one address, with one body."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from redis.exceptions import ConnectionError as RedisConnectionError

from deployments.gateway import idempotency
from deployments.gateway.application import build_app
from domain.ids import TenantId, UserId
from domain.tenancy import Principal, Role
from storage.keys import TenantCipher
from storage.postgres.database import system_tx
from storage.redis.client import connect_redis
from storage.redis.replays import LEASE_SECONDS, Replays, StoredAnswer
from tests.fixtures.gateway import Chat, GatewayRig, Tenant, signed_token


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def bots(tenant: Tenant) -> int:
    return len((await tenant.get("/chatbots")).json()["items"])


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_repeat_gets_the_first_answer_and_does_nothing(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), key()
    first = await tenant.post("/chatbots", json={"name": "One"}, headers=headers)
    again = await tenant.post("/chatbots", json={"name": "One"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["cache-control"] == "no-store"
    assert await bots(tenant) == 1


async def test_another_body_under_the_same_key_is_refused(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), key()
    await tenant.post("/chatbots", json={"name": "One"}, headers=headers)
    refused(await tenant.post("/chatbots", json={"name": "Two"}, headers=headers), 409, "idempotency_key_reused")
    assert await bots(tenant) == 1


async def test_a_key_belongs_to_one_tenant_person_and_address(rig: GatewayRig, chat: Chat) -> None:
    tenant, other, headers = chat.tenant, await rig.register(), key()
    body = {"name": "One"}
    first = await tenant.post("/chatbots", json=body, headers=headers)
    foreign = await other.post("/chatbots", json=body, headers=headers)
    assert foreign.json()["id"] != first.json()["id"]
    # One who belongs to both companies.
    colleague = Principal(TenantId(tenant.grant["tenant"]["id"]), UserId(UUID(other.grant["user"]["id"])), Role.EDITOR)
    async with system_tx(rig.services.db) as tx:
        membership = [colleague.tenant_id, colleague.user_id, colleague.role.value]
        await tx.execute("insert into memberships (tenant_id, user_id, role) values (%s, %s, %s)", membership)
    token = {"Authorization": f"Bearer {await signed_token(rig, colleague)}"}
    theirs = await rig.http.post("/chatbots", json=body, headers={**headers, **token})
    assert theirs.json()["id"] != first.json()["id"]
    sessions = [await tenant.post(f"/chatbots/{chat.bot}/sessions", headers=headers) for _ in range(2)]
    elsewhere = await tenant.post(f"/chatbots/{first.json()['id']}/sessions", headers=headers)
    assert sessions[0].json() == sessions[1].json()
    assert elsewhere.json()["id"] != sessions[0].json()["id"]


async def test_attempts_at_once_have_one_effect(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), key()
    answers = await asyncio.gather(*(tenant.post("/chatbots", json={"name": "One"}, headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert await bots(tenant) == 1


async def test_a_repeat_while_the_first_is_at_work_is_told_to_wait(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), key()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> dict[str, str]:
        begun.set()
        await go_on.wait()
        return {"done": "yes"}

    rig.app.add_api_route("/slow", slow, methods=["POST"])
    first = asyncio.create_task(tenant.post("/slow", headers=headers))
    await begun.wait()
    waiting = await tenant.post("/slow", headers=headers)
    refused(waiting, 409, "idempotency_key_in_use")
    assert int(waiting.headers["retry-after"]) >= 1
    go_on.set()
    assert (await first).json() == (await tenant.post("/slow", headers=headers)).json() == {"done": "yes"}


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (lambda: Response("x", 503), False),
        (lambda: Response("x", 429), False),
        (lambda: Response("x", 422), False),
        (lambda: 1 / 0, False),
        (lambda: StreamingResponse(iter(("data: x\n\n",)), media_type="text/event-stream"), False),
        (lambda: Response(b"\xff\x00", 201, {"Location": "/x", "Set-Cookie": "a=b"}), True),
        (lambda: Response(status_code=204), True),
        (lambda: StreamingResponse(iter(("a", "b"))), True),
    ],
)
async def test_only_successes_are_kept(rig: GatewayRig, answer: Callable[[], Any], kept: bool) -> None:
    tenant, headers = await rig.register(), key()
    calls: list[bytes] = []

    async def route(request: Request) -> Any:
        calls.append(await request.body())
        return answer()

    rig.app.add_api_route("/made", route, methods=["POST"])
    first, again = [await tenant.post("/made", headers=headers) for _ in range(2)]
    assert len(calls) == (1 if kept else 2)
    assert (again.status_code, again.content if kept else b"") == (first.status_code, first.content if kept else b"")
    if kept:
        assert again.headers.get("location") == first.headers.get("location")
        assert "set-cookie" not in again.headers


async def test_a_body_that_the_route_leaves_unread_counts_too(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), key()
    calls: list[None] = []

    async def route() -> None:
        calls.append(None)

    rig.app.add_api_route("/made", route, methods=["POST"])
    for _ in range(2):
        assert (await tenant.post("/made", json={"a": 1}, headers=headers)).status_code == 200
    refused(await tenant.post("/made", json={"a": 2}, headers=headers), 409, "idempotency_key_reused")
    assert len(calls) == 1


async def test_an_answer_too_large_to_keep_is_not_made_twice(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_BODY_BYTES", 10)
    tenant, headers = await rig.register(), key()
    assert (await tenant.post("/chatbots", json={"name": "One"}, headers=headers)).status_code == 201
    refused(await tenant.post("/chatbots", json={"name": "One"}, headers=headers), 409, "conflict")
    assert await bots(tenant) == 1


async def test_an_upload_is_the_same_with_another_boundary(rig: GatewayRig, chat: Chat) -> None:
    path, headers = f"/knowledgebase/{chat.bot}/upload", key()
    first, again = [
        await chat.tenant.post(path, files=[("files", ("a.txt", b"hello"))], headers=headers) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    other = await chat.tenant.post(path, files=[("files", ("a.txt", b"hullo"))], headers=headers)
    refused(other, 409, "idempotency_key_reused")


async def test_tokens_are_never_kept(rig: GatewayRig, chat: Chat) -> None:
    headers = {**key(), **chat.tenant.headers}
    for path, body in (
        ("/auth/login", {"email": chat.tenant.email, "password": "correct horse battery"}),
        (f"/chatbots/{chat.bot}/visitors", {}),
    ):
        first, again = [await rig.http.post(path, json=body, headers=headers) for _ in range(2)]
        assert first.status_code == again.status_code < 300
        assert "idempotency-replayed" not in again.headers
        assert first.json() != again.json()


@pytest.mark.parametrize("value", ["", "a b", "x" * 256, "a\tb", "\xe9"])
async def test_a_malformed_key_is_refused(rig: GatewayRig, value: str) -> None:
    tenant = await rig.register()
    headers = httpx.Headers({**tenant.headers, "Idempotency-Key": value}, encoding="latin-1")
    refused(await rig.http.post("/chatbots", json={"name": "x"}, headers=headers), 400, "invalid_input")
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), *tenant.headers.items()]
    refused(await rig.http.post("/chatbots", json={"name": "x"}, headers=twice), 400, "invalid_input")
    assert await bots(tenant) == 0


async def test_without_a_valid_token_the_route_answers(rig: GatewayRig) -> None:
    for headers in (key(), {**key(), "Authorization": "Bearer forged"}):
        for _ in range(2):
            refused(await rig.http.post("/chatbots", json={"name": "x"}, headers=headers), 401, "not_authenticated")


async def test_a_lost_claim_stores_nothing_and_takes_nothing(rig: GatewayRig) -> None:
    replays, record = Replays(rig.services.redis), f"idempotency:{uuid4()}"
    cipher = TenantCipher(TenantId(uuid4()), {1: bytes(32)})
    owner = await replays.claim(record, cipher)
    assert isinstance(owner, str)
    assert await replays.claim(record, cipher) is None
    assert 0 < await rig.services.redis.ttl(record) <= LEASE_SECONDS
    assert await replays.renew(record, owner)
    await rig.services.redis.delete(record)
    later = await replays.claim(record, cipher)
    assert isinstance(later, str)
    assert not await replays.renew(record, owner)
    assert not await replays.store(record, owner, StoredAnswer("", 201, {}, ""), cipher)
    await replays.release(record, owner)
    assert await replays.claim(record, cipher) is None


async def test_without_redis_a_key_is_refused_rather_than_ignored(
    rig: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await rig.register()
    nowhere = connect_redis("redis://127.0.0.1:9/0")
    monkeypatch.setattr(nowhere, "set", _away)
    monkeypatch.setattr(idempotency, "Replays", lambda _: Replays(nowhere))
    transport = httpx.ASGITransport(build_app(rig.services), client=("203.0.113.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        answer = await http.post("/chatbots", json={"name": "x"}, headers={**key(), **tenant.headers})
        refused(answer, 503, "unavailable")
        assert "retry-after" in answer.headers
    assert await bots(tenant) == 0
    await nowhere.aclose()


async def _away(*_: object, **__: object) -> None:
    raise RedisConnectionError
