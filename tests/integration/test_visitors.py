"""Visitors over HTTP: who is welcome, who comes back, and that a visitor reaches their own sessions only."""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from domain.ids import ChatbotId, TenantId, UserId, VisitorId, new_uuid
from storage.postgres.database import system_tx
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import Stored, path, store_turn, tenant_id_of


@dataclass
class Guest:
    """A visitor with a client that sends the token."""

    http: httpx.AsyncClient
    visitor_id: str
    token: str

    async def call(self, method: str, where: str, **options: Any) -> httpx.Response:
        return await self.http.request(method, where, headers={"Authorization": f"Bearer {self.token}"}, **options)


async def welcome(rig: GatewayRig, bot: str, **body: Any) -> Guest:
    answer = await rig.http.post(f"/chatbots/{bot}/visitors", json=body)
    assert answer.status_code == 201, answer.text
    grant = answer.json()
    assert grant["expires_in"] == 3_600
    return Guest(rig.http, grant["visitor_id"], grant["token"])


async def refused(rig: GatewayRig, bot: str, **body: Any) -> int:
    return (await rig.http.post(f"/chatbots/{bot}/visitors", json=body)).status_code


async def signature(chat: Chat, user_id: str) -> str:
    """As a tenant's own server makes it."""
    secret = (await chat.tenant.get(f"/chatbots/{chat.bot}/identity-secret")).json()["secret"]
    return hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


async def set_visitors(chat: Chat, mode: str) -> None:
    assert (await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json={"visitors": mode})).status_code == 200


async def new_chat(guest: Guest, chat: Chat) -> Chat:
    """A session of the visitor, for which the tenant stores turns."""
    made = await guest.call("POST", f"/chatbots/{chat.bot}/sessions", json={"title": "Mine"})
    assert (made.status_code, made.json()["visitor_id"]) == (201, guest.visitor_id)
    return Chat(chat.tenant, chat.bot, made.json()["id"])


def every_use(chat: Chat, stored: Stored) -> list[tuple[str, str, Any, int]]:
    """All that a visitor may do in a session, with the status when it is theirs; deleting comes last."""
    answer = path(chat, f"/messages/{stored.answer}")
    return [
        ("GET", path(chat, "/messages"), None, 200),
        ("GET", path(chat, "/branches"), None, 200),
        ("PATCH", path(chat), {"title": "New", "closed": False}, 200),
        ("POST", path(chat, f"/turns/{stored.turn}/stop"), None, 200),
        ("POST", path(chat, "/messages"), {"text": "How long?"}, 202),
        ("POST", path(chat, f"/turns/{stored.turn}/regenerate"), None, 202),
        ("PUT", f"{answer}/feedback", {"rating": "up"}, 200),
        ("DELETE", f"{answer}/feedback", None, 204),
        ("POST", f"{answer}/delivered", None, 204),
        ("DELETE", path(chat), None, 204),
    ]


async def test_a_visitor_uses_their_own_session_in_every_way(rig: GatewayRig, chat: Chat) -> None:
    guest = await welcome(rig, chat.bot)
    own = await new_chat(guest, chat)
    stored = await store_turn(rig, own, "How long?")
    for method, where, body, status in every_use(own, stored):
        answer = await guest.call(method, where, json=body)
        assert answer.status_code == status, (method, where, answer.text)
    assert (await guest.call("GET", path(own, "/messages"))).status_code == 404


async def test_what_is_not_the_visitors_is_not_found(rig: GatewayRig, chat: Chat) -> None:
    owner, guest = await welcome(rig, chat.bot), await welcome(rig, chat.bot)
    other_bot = await chat.tenant.new_bot()
    elsewhere = await welcome(rig, other_bot)
    own = await new_chat(owner, chat)
    for target in (own, chat):
        stored = await store_turn(rig, target, "How long?")
        for method, where, body, _ in every_use(target, stored):
            for stranger in (guest, elsewhere):
                for address in (where, where.replace(chat.bot, other_bot)):
                    assert (await stranger.call(method, address, json=body)).status_code == 404, (method, address)
    assert rig.conversations.asked == 0
    assert (await guest.call("GET", f"/chatbots/{chat.bot}/sessions")).json()["items"] == []
    for method in ("GET", "POST"):
        assert (await guest.call(method, f"/chatbots/{other_bot}/sessions")).status_code == 404
    mine = (await owner.call("GET", f"/chatbots/{chat.bot}/sessions")).json()["items"]
    assert [item["id"] for item in mine] == [own.session]
    everybodys = (await chat.tenant.get(f"/chatbots/{chat.bot}/sessions")).json()["items"]
    assert {item["id"] for item in everybodys} == {own.session, chat.session}


async def test_visitors_are_no_staff(rig: GatewayRig, chat: Chat) -> None:
    guest = await welcome(rig, chat.bot)
    own = await new_chat(guest, chat)
    turn = (await store_turn(rig, own, "How long?")).turn
    assert (await guest.call("PATCH", path(own), json={"head_turn_id": turn})).status_code == 403
    for method, where in (
        ("GET", "/me"),
        ("GET", "/chatbots"),
        ("GET", f"/chatbots/{chat.bot}"),
        ("DELETE", f"/chatbots/{chat.bot}"),
        ("GET", f"/chatbots/{chat.bot}/visitors"),
        ("GET", f"/chatbots/{chat.bot}/feedback"),
        ("GET", f"/chatbots/{chat.bot}/identity-secret"),
    ):
        assert (await guest.call(method, where)).status_code == 401, where
    assert (await chat.tenant.get(path(own, "/messages"))).status_code == 200


async def test_an_anonymous_visitor_comes_back_with_an_old_token(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    guest = await welcome(rig, chat.bot)
    own = await new_chat(guest, chat)
    for seconds, status in ((3_700, 201), (3_700 + 31 * 86_400, 401)):
        with monkeypatch.context() as then:
            then.setattr(time, "time", lambda seconds=seconds: now - seconds)
            old = rig.services.tokens.sign_visitor(
                tenant_id_of(chat), ChatbotId(UUID(chat.bot)), VisitorId(UUID(guest.visitor_id))
            )
        assert (await Guest(rig.http, guest.visitor_id, old).call("GET", path(own, "/messages"))).status_code == 401
        answer = await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={"token": old})
        assert answer.status_code == status
        if status == 201:
            assert answer.json()["visitor_id"] == guest.visitor_id
            again = Guest(rig.http, guest.visitor_id, answer.json()["token"])
            assert (await again.call("GET", path(own, "/messages"))).status_code == 200


async def test_only_tokens_of_this_bots_anonymous_visitors_bring_back(rig: GatewayRig, chat: Chat) -> None:
    other_bot = await chat.tenant.new_bot()
    elsewhere = await welcome(rig, other_bot)
    named = await welcome(rig, chat.bot, user_id="ada", signature=await signature(chat, "ada"))
    unknown = rig.services.tokens.sign_visitor(tenant_id_of(chat), ChatbotId(UUID(chat.bot)), VisitorId(new_uuid()))
    foreign = rig.services.tokens.sign_visitor(
        TenantId(new_uuid()), ChatbotId(UUID(chat.bot)), VisitorId(UUID(named.visitor_id))
    )
    staff = chat.tenant.grant["access_token"]
    for token in (elsewhere.token, named.token, unknown, foreign, staff, "x", "a.b.c"):
        assert await refused(rig, chat.bot, token=token) == 401


async def test_a_signed_name_is_always_the_same_visitor(rig: GatewayRig, chat: Chat) -> None:
    signed = await signature(chat, "ada@example.com")
    first = await welcome(rig, chat.bot, user_id="ada@example.com", signature=signed)
    own = await new_chat(first, chat)
    again = await welcome(rig, chat.bot, user_id="ada@example.com", signature=signed.upper())
    assert again.visitor_id == first.visitor_id
    assert (await again.call("GET", path(own, "/messages"))).status_code == 200
    unusual = await welcome(rig, chat.bot, user_id="アダ", signature=await signature(chat, "アダ"))
    assert unusual.visitor_id != first.visitor_id


async def test_a_wrong_signature_is_refused(rig: GatewayRig, chat: Chat) -> None:
    other = Chat(chat.tenant, await chat.tenant.new_bot(), chat.session)
    for wrong in ("", "0" * 64, "é" * 64, await signature(chat, "eve"), await signature(other, "ada")):
        assert await refused(rig, chat.bot, user_id="ada", signature=wrong) == 401
    assert await refused(rig, chat.bot, user_id="ada") == 401
    listed = (await chat.tenant.get(f"/chatbots/{chat.bot}/visitors")).json()
    assert listed == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": ""},
        {"user_id": "x" * 201},
        {"user_id": "nul \x00", "signature": "0"},
        {"user_id": 7},
        {"token": ""},
        {"token": "x" * 9_000},
        {"surprise": 1},
        [],
    ],
)
async def test_bad_bodies_are_refused(rig: GatewayRig, chat: Chat, body: Any) -> None:
    assert (await rig.http.post(f"/chatbots/{chat.bot}/visitors", json=body)).status_code == 422


async def test_a_name_and_a_token_together_are_refused(rig: GatewayRig, chat: Chat) -> None:
    guest = await welcome(rig, chat.bot)
    signed = await signature(chat, "ada")
    assert await refused(rig, chat.bot, user_id="ada", signature=signed, token=guest.token) == 400


async def test_the_bot_says_who_is_welcome(rig: GatewayRig, chat: Chat) -> None:
    guest, signed = await welcome(rig, chat.bot), await signature(chat, "ada")
    await set_visitors(chat, "identified")
    assert await refused(rig, chat.bot) == 401
    assert await refused(rig, chat.bot, token=guest.token) == 401
    await welcome(rig, chat.bot, user_id="ada", signature=signed)
    await set_visitors(chat, "off")
    assert await refused(rig, chat.bot) == 404
    assert await refused(rig, chat.bot, user_id="ada", signature=signed) == 404
    for bot in (str(new_uuid()), "7"):
        assert await refused(rig, bot) == 404


async def test_one_address_makes_only_so_many_visitors_at_a_bot(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, Kind.VISITOR, Rule({"address+chatbot": Rate(3, 0.001)}, closed=True))
    other_bot = await chat.tenant.new_bot()
    answers = [await rig.http.post(f"/chatbots/{chat.bot}/visitors", json={}) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 5
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 1_000
    await welcome(rig, other_bot)


async def test_the_identity_secret_is_for_owners_and_per_bot(rig: GatewayRig, chat: Chat) -> None:
    other_bot = await chat.tenant.new_bot()
    found = [(await chat.tenant.get(f"/chatbots/{bot}/identity-secret")).json() for bot in (chat.bot, other_bot)]
    assert [len(bytes.fromhex(answer["secret"])) for answer in found] == [32, 32]
    assert found[0] != found[1]
    user = UserId(UUID(chat.tenant.grant["user"]["id"]))
    async with system_tx(rig.services.db) as tx:
        await tx.execute("update memberships set role = 'editor' where user_id = %s", [user])
    assert (await chat.tenant.get(f"/chatbots/{chat.bot}/identity-secret")).status_code == 403


async def test_the_tenant_lists_visitors_newest_first_in_pages(rig: GatewayRig, chat: Chat) -> None:
    anonymous = await welcome(rig, chat.bot)
    named = await welcome(rig, chat.bot, user_id="ada", signature=await signature(chat, "ada"))
    last = await welcome(rig, chat.bot)
    for _ in range(2):
        await new_chat(named, chat)
    await welcome(rig, await chat.tenant.new_bot())
    listed = f"/chatbots/{chat.bot}/visitors"
    first = (await chat.tenant.get(listed, params={"limit": 2})).json()
    rest = (await chat.tenant.get(listed, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    items = first["items"] + rest["items"]
    assert [item["id"] for item in items] == [last.visitor_id, named.visitor_id, anonymous.visitor_id]
    assert [(item["external_id"], item["sessions"]) for item in items] == [(None, 0), ("ada", 2), (None, 0)]
    assert rest["next_cursor"] is None
    await welcome(rig, chat.bot, token=anonymous.token)
    seen = (await chat.tenant.get(listed)).json()["items"][2]
    assert seen["last_seen_at"] > seen["created_at"]
