"""Erasure over every store: nothing of the erased is left, everything of others is, and whatever interrupts it."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.erasure import ErasureKind
from domain.ids import ChatbotId, TenantId
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.erased_rows import erase
from storage.postgres.tenant_keys import TenantKeys
from storage.receipts import verify_receipt
from tests.fixtures.conditions import eventually
from tests.fixtures.erasure import ErasureRig, canary, erase_company, erase_visitor, visitor_chat
from tests.fixtures.gateway import PASSWORD, Chat, SocketRig, ask
from tests.fixtures.stored_turns import path, tenant_id_of


async def test_a_visitor_is_erased_everywhere_and_others_are_not(
    erasing: ErasureRig, chat: Chat, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their words stay in no column, file, value or log; the owner's in the same bot do."""
    gone, kept = canary(), canary()
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await theirs.tenant.call("PATCH", path(theirs), json={"title": f"about {gone}"}, headers={"Idempotency-Key": "k"})
    await theirs.tenant.post(
        f"/chatbots/{chat.bot}/sessions", json={"title": gone}, headers={"Idempotency-Key": f"key-{gone[-8:]}"}
    )
    stored = await erasing.talk(theirs, gone)
    await erasing.talk(chat, kept)
    assert {place.split()[0] for place in await erasing.places(gone)} == {"postgres", "valkey"}
    answer = await erase_visitor(theirs, visitor)
    assert not await erasing._columns(gone), "rows go in the request itself"
    erasure = await erasing.finish(tenant_id_of(chat), answer.json()["id"])
    assert await erasing.places(gone) == []
    assert {place.split()[0] for place in await erasing.places(kept)} == {"postgres", "valkey"}
    counts = {name: total for name, total in erasure.counts.items() if name != "redis.rates"}
    assert counts == {
        "postgres.sessions": 2,
        "postgres.turns": 1,
        "postgres.messages": 2,
        "postgres.feedback": 1,
        "postgres.citations": 1,
        "postgres.visitors": 1,
        "redis.turns": 2,
        "redis.answers": 1,
    }
    assert gone not in "".join(capfd.readouterr())
    # The ledger keeps the turn under its id.
    rows = await erasing.owner.execute("select 1 from usage_ledger where turn_id = %s", [stored.turn])
    assert rows.rowcount == 1


async def test_a_visitor_who_was_erased_is_nobody(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await erase_visitor(theirs, visitor)
    for method, address in (("GET", path(theirs, "/messages")), ("POST", f"/chatbots/{chat.bot}/sessions")):
        assert (await theirs.tenant.call(method, address)).status_code == 401
    again = await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}/visitors/{visitor}")
    assert again.status_code == 404
    back = await erasing.rig.http.post(
        f"/chatbots/{chat.bot}/visitors", json={"token": theirs.tenant.grant["access_token"]}
    )
    assert back.status_code == 401


async def test_visitors_erase_nobody_but_themselves(erasing: ErasureRig, chat: Chat) -> None:
    theirs, _ = await visitor_chat(erasing.rig, chat)
    _, other = await visitor_chat(erasing.rig, chat)
    stranger = await erasing.rig.register()
    bot = await stranger.new_bot()
    for who, address in (
        (theirs.tenant, f"/chatbots/{chat.bot}/visitors/{other}"),
        (stranger, f"/chatbots/{chat.bot}/visitors/{other}"),
        (stranger, f"/chatbots/{bot}/visitors/{other}"),
        (chat.tenant, f"/chatbots/{chat.bot}/visitors/{uuid4()}"),
    ):
        assert (await who.call("DELETE", address)).status_code == 404
    assert (await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}/visitors/x")).status_code == 404
    assert (await chat.tenant.get("/erasures")).json()["items"] == []


async def test_a_document_leaves_no_bytes_and_no_snippets(erasing: ErasureRig, chat: Chat) -> None:
    gone, kept = canary(), canary()
    tenant, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    other = await erasing.document(chat, kept, "kept.txt")
    document = await erasing.document(chat, gone, f"{gone}.txt")
    stored = await erasing.talk(chat, "lamp")
    await erasing.owner.execute(
        "update citations set sealed = null, document_id = %s, document_name = %s, snippet = %s where message_id = %s",
        [document, gone, gone, stored.answer],
    )
    await erasing.vectors.optimize(tenant, bot)
    assert {place.split()[0] for place in await erasing.places(gone)} == {"postgres", "file"}
    answer = await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    assert answer.status_code == 204
    erasure = await erasing.finish(tenant, answer.headers["Location"].rpartition("/")[2])
    assert await erasing.places(gone) == []
    assert erasure.counts["vectors.chunks"] == erasure.counts["blobs"] == erasure.counts["postgres.citations"] == 1
    assert await erasing.vectors.count(tenant, bot, other) == 1
    assert "file" in {place.split()[0] for place in await erasing.places(kept)}
    found = await erasing.vectors.search(tenant, bot, kept, [1.0] * 4, top_k=3, min_score=0.1)
    assert [passage.document_id for passage in found] == [other]


async def test_a_chatbot_goes_with_all_it_had(erasing: ErasureRig, chat: Chat) -> None:
    gone = canary()
    theirs, _ = await visitor_chat(erasing.rig, chat)
    await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json={"persona": gone})
    await erasing.document(chat, gone)
    await erasing.talk(theirs, gone)
    await erasing.talk(chat, gone)
    answer = await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")
    erasure = await erasing.finish(tenant_id_of(chat), answer.headers["Location"].rpartition("/")[2])
    assert await erasing.places(gone) == []
    assert erasure.counts["vectors.tables"] == 1
    assert erasure.counts["postgres.sessions"] == 2
    assert erasure.related == {}
    events = await erasing.owner.execute("select 1 from outbox where aggregate = %s", [f"chatbot:{chat.bot}"])
    assert events.rowcount == 0


async def test_a_company_goes_with_everything(
    erasing: ErasureRig, chat: Chat, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its name, people, words and files; another company's stay, and so do ids that billing keeps."""
    gone, kept = canary(), canary()
    neighbour = await erasing.rig.register()
    bot = await neighbour.new_bot()
    next_door = Chat(neighbour, bot, await neighbour.new_session(bot))
    for where, word in ((chat, gone), (next_door, kept)):
        await erasing.document(where, word, f"{word}.txt")
        await erasing.talk(where, word)
    tenant = tenant_id_of(chat)
    await erasing.owner.execute(
        "update tenants set name = %s, stripe_customer_id = %s where id = %s", [gone, f"cus_{tenant.hex}", tenant]
    )
    await erasing.owner.execute(
        "update users set email = %s where email = %s", [f"{gone}@example.com", chat.tenant.email]
    )
    await erasing.owner.execute(
        "insert into webhook_inbox (id, kind, payload, processed_at) values (%s, 'customer.updated', %s, now())",
        [f"evt_{tenant.hex}", f'{{"customer": "cus_{tenant.hex}", "email": "{gone}@example.com"}}'],
    )
    assert {place.split()[0] for place in await erasing.places(gone)} == {"postgres", "file", "valkey"}
    answer = await erase_company(chat.tenant, name=gone)
    assert answer.status_code == 202, answer.text
    erasure = await erasing.finish(tenant, answer.json()["id"])
    assert await erasing.places(gone) == []
    assert not (erasing.objects / str(tenant)).exists()
    assert {place.split()[0] for place in await erasing.places(kept)} == {"postgres", "file", "valkey"}
    async with system_tx(erasing.rig.services.db) as tx:
        keys = {one: await TenantKeys(tx).stored(one) for one in (tenant, tenant_id_of(next_door))}
    assert [[key.wrapped is None for key in found] for found in keys.values()] == [[True], [False]]
    assert erasure.counts["postgres.tenant_keys"] == erasure.counts["postgres.sign_ins"] == 1
    assert (await chat.tenant.get("/chatbots")).status_code == 401
    assert (await chat.tenant.get("/me")).status_code == 401
    login = {"email": f"{gone}@example.com", "password": PASSWORD}
    assert (await erasing.rig.http.post("/auth/login", json=login)).status_code == 401
    assert (await neighbour.get("/chatbots")).status_code == 200
    ledger = await erasing.owner.execute("select 1 from usage_ledger where tenant_id = %s", [tenant])
    assert ledger.rowcount == 1
    receipt = await erasing.receipt(answer)
    assert receipt["erased"] == erasure.counts
    assert gone not in str(receipt)
    assert gone not in "".join(capfd.readouterr())


async def test_people_of_another_company_too_stay(erasing: ErasureRig, chat: Chat) -> None:
    neighbour = await erasing.rig.register()
    user, tenant = chat.tenant.grant["user"]["id"], neighbour.grant["tenant"]["id"]
    await erasing.owner.execute(
        "insert into memberships (tenant_id, user_id, role) values (%s, %s, 'editor')", [tenant, user]
    )
    answer = await erase_company(chat.tenant)
    erasure = await erasing.finish(tenant_id_of(chat), answer.json()["id"])
    assert "postgres.users" not in erasure.counts
    login = await erasing.rig.http.post("/auth/login", json={"email": chat.tenant.email, "password": PASSWORD})
    assert login.json()["tenant"]["id"] == tenant


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"password": "wrong"}, 400),
        ({"name": "Example"}, 400),
        ({"name": "example ltd"}, 400),
        ({"name": ""}, 422),
        ({"password": "\x00"}, 422),
        ({"extra": "1"}, 422),
    ],
)
async def test_a_company_is_not_erased_by_accident(erasing: ErasureRig, chat: Chat, body: Any, status: int) -> None:
    assert (await erase_company(chat.tenant, **body)).status_code == status
    await erasing.eraser().work()
    assert (await chat.tenant.get("/chatbots")).status_code == 200


async def test_a_company_can_be_kept_until_its_time_comes(
    erasing: ErasureRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = erasing.rig.services.settings.model_copy(update={"tenant_erasure_grace_days": 1.0})
    object.__setattr__(erasing.rig.services, "settings", settings)
    first, second = await erase_company(chat.tenant), await erase_company(chat.tenant)
    assert first.json()["id"] == second.json()["id"]
    await erasing.eraser().work()
    assert (await chat.tenant.get("/chatbots")).status_code == 200
    assert (await chat.tenant.call("DELETE", "/tenant/erasure")).status_code == 204
    assert (await chat.tenant.call("DELETE", "/tenant/erasure")).status_code == 404
    [item] = (await chat.tenant.get("/erasures")).json()["items"]
    assert item["state"] == "cancelled"
    third = (await erase_company(chat.tenant)).json()["id"]
    assert third != first.json()["id"]
    await erasing.owner.execute("update erasures set not_before = now(), next_try_at = now() where id = %s", [third])
    assert (await chat.tenant.call("DELETE", "/tenant/erasure")).status_code == 409
    await erasing.finish(tenant_id_of(chat), third)


async def test_a_running_answer_ends_and_the_socket_closes(
    erasing: ErasureRig, socket_rig: SocketRig, chat: Chat
) -> None:
    erasing.rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as client, await socket_rig.ready(*chat.where) as tab:
        await ask(client)
        await client.until("token")
        answer = await chat.tenant.call("DELETE", path(chat))
        await erasing.finish(tenant_id_of(chat), answer.headers["Location"].rpartition("/")[2])
        assert await client.closed() == 4404
        assert await tab.closed() == 4404
    assert erasing.hosts.asked[0] == (tenant_id_of(chat), [chat.session])
    await eventually(lambda: erasing.rig.services.census.total == 0)


async def test_the_receipt_is_signed_and_says_nothing_personal(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    answer = await erase_visitor(theirs, visitor)
    early = await erasing.rig.http.get(answer.json()["receipt_path"])
    assert early.status_code == 404
    await erasing.finish(tenant_id_of(chat), answer.json()["id"])
    by_link = await erasing.rig.http.get(answer.json()["receipt_path"])
    by_owner = await chat.tenant.get(f"/erasures/{answer.json()['id']}/receipt")
    assert by_link.content == by_owner.content
    key = (await erasing.rig.http.get("/erasures/receipt-key")).json()
    receipt = verify_receipt(by_link.content, bytes.fromhex(key["public_key"]))
    assert (receipt["subject"], receipt["requested_by"]) == (visitor, f"visitor:{visitor}")
    guessed = answer.json()["receipt_path"][:-4] + "0000"
    assert (await erasing.rig.http.get(guessed)).status_code == 404
    log = (await chat.tenant.get("/audit")).json()["items"]
    assert [item["action"] for item in log[:2]] == ["erasure.done", "visitor.erase"]
    assert (log[0]["actor_kind"], log[1]["actor_kind"]) == ("system", "visitor")


async def test_another_company_sees_no_erasure(erasing: ErasureRig, chat: Chat) -> None:
    answer = await chat.tenant.call("DELETE", path(chat))
    erasure = answer.headers["Location"]
    stranger = await erasing.rig.register()
    assert (await stranger.get(erasure)).status_code == 404
    assert (await stranger.get(f"{erasure}/receipt")).status_code == 404
    assert (await chat.tenant.get(erasure)).json()["kind"] == "session"
    async with tenant_tx(erasing.rig.services.db, TenantId(UUID(stranger.grant["tenant"]["id"]))) as tx:
        with pytest.raises(Exception, match="no such"):
            await erase(tx, TenantId(UUID(stranger.grant["tenant"]["id"])), ErasureKind.CHATBOT, UUID(chat.bot), "x")


async def test_every_table_of_a_tenant_is_erased_or_named(erasing: ErasureRig) -> None:
    """A new table with a tenant_id is erased without being named anywhere."""
    rows = await (await erasing.owner.execute("select erasable_tables() as name")).fetchall()
    tables = {row["name"] for row in rows}
    columns = await erasing.owner.execute(
        "select table_name as name from information_schema.columns"
        " where column_name = 'tenant_id' and table_schema = 'public'"
    )
    kept = {row["name"] for row in await columns.fetchall()} - tables
    assert kept == {
        "usage_ledger",
        "usage_daily",
        "subscriptions",
        "invoices",
        "audit_events",
        "audit_heads",
        "erasures",
        "outbox",
        "handled_events",
        "tenant_keys",
    }
    async with system_tx(erasing.rig.services.db) as tx:
        for table in tables:
            assert await (await tx.execute("select has_table_privilege(%s, 'delete')", [table])).fetchone() == {
                "has_table_privilege": True
            }, table
