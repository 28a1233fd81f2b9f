"""API keys: what they open and what never, rotation, and ends that count at once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from domain.api_key import new_api_key, parse_api_key
from domain.permissions import KEY_PERMISSIONS
from storage.postgres.database import system_tx
from tests.fixtures.gateway import Chat, GatewayRig, SocketRig, Tenant

CHAT = ["chatbots.read", "conversations.read", "conversations.reply"]


async def make(tenant: Tenant, scopes: list[str], **more: Any) -> dict[str, Any]:
    answer = await tenant.post("/api-keys", json={"name": "Shop", "scopes": scopes, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(
    rig: GatewayRig, key: str, path: str = "/chatbots", method: str = "GET", **options: Any
) -> httpx.Response:
    return await rig.http.request(
        method, path, headers={b"Authorization": b"Bearer " + key.encode("latin-1")}, **options
    )


async def run(rig: GatewayRig, statement: str, *values: Any) -> list[dict[str, Any]]:
    async with system_tx(rig.services.db) as tx:
        cursor = await tx.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []


async def test_a_key_opens_what_it_is_for(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)
    assert made["key"].startswith(made["prefix"])
    assert (await use(rig, made["key"])).json()["items"][0]["id"] == chat.bot
    assert (await use(rig, made["key"], f"/chatbots/{chat.bot}/sessions", "POST")).status_code == 201
    refused = await use(rig, made["key"], "/chatbots", "POST", json={"name": "Other"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


async def test_no_key_is_a_person(rig: GatewayRig, chat: Chat) -> None:
    every = set((await rig.http.get("/openapi.json")).json()["components"]["schemas"]["Permission"]["enum"])
    assert every - KEY_PERMISSIONS == {"api_keys.manage", "tenant.erase"}
    made = await make(chat.tenant, sorted(KEY_PERMISSIONS))
    for method, path in (
        ("GET", "/me"),
        ("GET", "/auth/sessions"),
        ("POST", "/auth/sessions/revoke-others"),
        ("GET", "/api-keys"),
        ("POST", f"/api-keys/{made['id']}/rotate"),
        ("DELETE", f"/api-keys/{made['id']}"),
    ):
        assert (await use(rig, made["key"], path, method)).status_code == 403, path
    body = {"name": "More", "scopes": ["chatbots.read"]}
    assert (await use(rig, made["key"], "/api-keys", "POST", json=body)).status_code == 403
    assert (await use(rig, made["key"], "/audit")).status_code == 200


async def test_the_secret_is_shown_once_and_stored_as_a_hash(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)
    [listed] = (await chat.tenant.get("/api-keys")).json()["items"]
    assert "key" not in listed
    assert listed == {name: value for name, value in made.items() if name != "key"}
    [row] = await run(rig, "select t::text as text, secret_hash from api_keys t where id = %s", UUID(made["id"]))
    assert made["key"][17:60] not in row["text"]
    found = parse_api_key(made["key"])
    assert found is not None
    assert bytes(row["secret_hash"]) == found.secret_hash


async def test_a_key_does_no_more_than_who_made_it_may_now(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, ["chatbots.read", "audit.read"])
    user = chat.tenant.grant["user"]["id"]
    assert (await use(rig, made["key"], "/audit")).status_code == 200
    await run(rig, "update memberships set role = 'editor' where user_id = %s", user)
    assert (await use(rig, made["key"], "/audit")).status_code == 403
    assert (await use(rig, made["key"])).status_code == 200
    await run(rig, "delete from memberships where user_id = %s", user)
    assert (await use(rig, made["key"])).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["api_keys.manage"]},
        {"scopes": "chatbots.read"},
        {"scopes": ["chatbots.read"] * 100},
        {"scopes": None},
        {"name": "  "},
        {"name": "x" * 201},
        {"name": "nul \x00"},
        {"expires_in_days": 0},
        {"expires_in_days": 3_651},
        {"expires_in_days": "x"},
        {"tenant_id": str(uuid4())},
        {"created_by": str(uuid4())},
        {"key": "lq_live_mine"},
    ],
)
async def test_bad_bodies_are_refused(rig: GatewayRig, change: dict[str, Any]) -> None:
    tenant = await rig.register()
    body = {"name": "Shop", "scopes": ["chatbots.read"], **change}
    assert (await tenant.post("/api-keys", json=body)).status_code == 422
    assert (await tenant.get("/api-keys")).json() == {"items": []}


async def test_what_is_no_good_key_is_refused_alike(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)
    good = made["key"]
    unknown, _ = new_api_key()
    known_prefix = good[:17] + unknown[17:]
    sentences = set()
    for key in (
        "lq_",
        good[:-1],
        good[:30],
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.upper().replace("LQ_LIVE", "lq_live"),
        good.swapcase().replace("LQ_LIVE", "lq_live"),
        unknown,
        known_prefix,
        good[:20] + "é" + good[21:],
        "lq_live_" + "x" * 10_000,
        good + good,
    ):
        answer = await use(rig, key)
        assert answer.status_code == 401, key
        sentences.add(answer.json()["error"]["message"])
        assert answer.headers["www-authenticate"] == "Bearer"
        chats = await use(rig, key, f"/chatbots/{chat.bot}/sessions")
        assert chats.status_code == 401, key
    assert len(sentences) == 1
    assert (await use(rig, good)).status_code == 200


async def test_a_key_with_a_known_prefix_and_another_secret_is_refused(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)
    other = await make(await rig.register(), CHAT)
    # Two tenants whose keys have the same prefix: the secret decides.
    await run(rig, "update api_keys set prefix = %s where id = %s", made["prefix"][8:], UUID(other["id"]))
    assert (await use(rig, made["key"])).json()["items"][0]["id"] == chat.bot
    assert (await use(rig, other["key"])).status_code == 401


async def test_keys_of_another_tenant_are_out_of_reach(rig: GatewayRig, chat: Chat) -> None:
    made, stranger = await make(chat.tenant, CHAT), await rig.register()
    theirs = await make(stranger, CHAT)
    assert (await stranger.call("DELETE", f"/api-keys/{made['id']}")).status_code == 404
    assert (await stranger.post(f"/api-keys/{made['id']}/rotate")).status_code == 404
    assert [item["id"] for item in (await stranger.get("/api-keys")).json()["items"]] == [theirs["id"]]
    assert (await use(rig, theirs["key"], f"/chatbots/{chat.bot}/sessions")).status_code == 404
    assert (await use(rig, made["key"])).status_code == 200


async def test_a_revoked_key_is_dead_at_once(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)
    assert (await chat.tenant.call("DELETE", f"/api-keys/{made['id']}")).status_code == 204
    assert (await use(rig, made["key"])).status_code == 401
    assert (await chat.tenant.call("DELETE", f"/api-keys/{made['id']}")).status_code == 404
    assert (await chat.tenant.post(f"/api-keys/{made['id']}/rotate")).status_code == 404
    assert (await chat.tenant.get("/api-keys")).json()["items"] == []


async def test_a_key_expires(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT, expires_in_days=1)
    assert made["expires_at"] is not None
    assert (await use(rig, made["key"])).status_code == 200
    await run(rig, "update api_keys set expires_at = now() where id = %s", UUID(made["id"]))
    assert (await use(rig, made["key"])).status_code == 401
    assert (await chat.tenant.post(f"/api-keys/{made['id']}/rotate")).status_code == 404


async def test_a_rotated_key_lives_on_for_its_grace(rig: GatewayRig, chat: Chat) -> None:
    first = await make(chat.tenant, CHAT)
    second = (await chat.tenant.post(f"/api-keys/{first['id']}/rotate")).json()
    assert second["id"] == first["id"]
    assert second["key"] != first["key"]
    for made in (first, second):
        assert (await use(rig, made["key"])).status_code == 200
    third = (await chat.tenant.post(f"/api-keys/{first['id']}/rotate", json={"grace_hours": 72})).json()
    found = [(await use(rig, made["key"])).status_code for made in (first, second, third)]
    assert found == [401, 200, 200]
    await run(rig, "update api_keys set previous_until = now() where id = %s", UUID(first["id"]))
    found = [(await use(rig, made["key"])).status_code for made in (first, second, third)]
    assert found == [401, 401, 200]
    fourth = (await chat.tenant.post(f"/api-keys/{first['id']}/rotate", json={"grace_hours": 0})).json()
    assert [(await use(rig, made["key"])).status_code for made in (third, fourth)] == [401, 200]
    for grace in (-1, 73, "x"):
        answer = await chat.tenant.post(f"/api-keys/{first['id']}/rotate", json={"grace_hours": grace})
        assert answer.status_code == 422
    await chat.tenant.call("DELETE", f"/api-keys/{first['id']}")
    assert (await use(rig, fourth["key"])).status_code == 401


async def test_the_last_use_is_noted_at_most_once_a_minute(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, CHAT)

    async def last_use() -> Any:
        return (await chat.tenant.get("/api-keys")).json()["items"][0]["last_used_at"]

    assert await last_use() is None
    await use(rig, made["key"])
    async with asyncio.timeout(10):
        while (noted := await last_use()) is None:
            await asyncio.sleep(0.01)
    [before] = await run(rig, "select xmin::text from api_keys where id = %s", UUID(made["id"]))
    for _ in range(5):
        await use(rig, made["key"])
    assert await run(rig, "select xmin::text from api_keys where id = %s", UUID(made["id"])) == [before]
    assert await last_use() == noted


async def test_what_a_key_does_is_recorded_as_the_keys(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, ["chatbots.write", "conversations.delete"])
    assert (await use(rig, made["key"], "/chatbots", "POST", json={"name": "By key"})).status_code == 201
    gone = await use(rig, made["key"], f"/chatbots/{chat.bot}/sessions/{chat.session}", "DELETE")
    assert gone.status_code == 204
    await chat.tenant.post(f"/api-keys/{made['id']}/rotate")
    await chat.tenant.call("DELETE", f"/api-keys/{made['id']}")
    events = (await chat.tenant.get("/audit")).json()["items"]
    found = [(event["actor_kind"], event["action"]) for event in events[:5]]
    assert found == [
        ("user", "api_key.revoke"),
        ("user", "api_key.rotate"),
        ("api_key", "session.delete"),
        ("api_key", "chatbot.create"),
        ("user", "api_key.create"),
    ]
    assert {event["actor_id"] for event in events[2:4]} == {made["id"]}
    assert made["key"][17:] not in str(events)


async def test_calls_are_counted_per_key(rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, Kind.READ, Rule({"user": Rate(3, 0.001)}))
    one, other = [await make(chat.tenant, CHAT) for _ in range(2)]
    found = [(await use(rig, one["key"])).status_code for _ in range(5)]
    assert found == [200] * 3 + [429] * 2
    assert (await use(rig, other["key"])).status_code == 200
    # Who knows only the public part uses up nothing of the owner's.
    fake = other["key"][:17] + new_api_key()[0][17:]
    for _ in range(5):
        await use(rig, fake)
    assert (await use(rig, other["key"])).status_code == 200


async def test_a_tenant_has_only_so_many(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.postgres.api_keys.MAX_KEYS", 2)
    tenant = await rig.register()
    body = {"name": "Shop", "scopes": ["chatbots.read"]}
    answers = await asyncio.gather(*(tenant.post("/api-keys", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]


async def test_answers_that_hold_keys_are_not_kept(rig: GatewayRig) -> None:
    tenant, headers = await rig.register(), {"Idempotency-Key": uuid4().hex}
    body = {"name": "Shop", "scopes": ["chatbots.read"]}
    first, second = [await tenant.post("/api-keys", json=body, headers=headers) for _ in range(2)]
    assert first.json()["key"] != second.json()["key"]
    stored = [value async for name in rig.services.redis.scan_iter("idempotency:*") for value in [str(name)]]
    for name in stored:
        assert first.json()["key"] not in str(await rig.services.redis.get(name))


async def test_an_ended_caller_gets_no_stored_answer(rig: GatewayRig, chat: Chat) -> None:
    made = await make(chat.tenant, ["chatbots.write"])
    headers = {"Authorization": f"Bearer {made['key']}", "Idempotency-Key": uuid4().hex}
    first = await rig.http.post("/chatbots", json={"name": "By key"}, headers=headers)
    again = await rig.http.post("/chatbots", json={"name": "By key"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    await chat.tenant.call("DELETE", f"/api-keys/{made['id']}")
    assert (await rig.http.post("/chatbots", json={"name": "By key"}, headers=headers)).status_code == 401


async def test_a_key_chats_on_a_socket_until_it_is_revoked(socket_rig: SocketRig, chat: Chat) -> None:
    made, reader = await make(chat.tenant, CHAT), await make(chat.tenant, ["conversations.read"])
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=made["key"])
        await client.expect("ready")
        async with await socket_rig.connect(chat.bot, chat.session) as other:
            await other.send(type="auth", token=reader["key"])
            await other.expect("error")
            assert await other.closed() == 4403
        await chat.tenant.call("DELETE", f"/api-keys/{made['id']}")
        await socket_rig.rig.services.access.look()
        assert await client.closed() == 4401
    async with await socket_rig.connect(chat.bot, chat.session) as client:
        await client.send(type="auth", token=made["key"])
        await client.expect("error")
        assert await client.closed() == 4401
