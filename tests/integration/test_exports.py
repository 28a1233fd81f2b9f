"""Exports: complete, described by their manifest, for the right people only, and gone after a day."""

import hashlib
import io
import json
import zipfile
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.exporter import Exporter
from domain.tenancy import Role
from storage.blobs import export_key
from storage.postgres.exports import MOST_ATTEMPTS
from tests.fixtures.erasure import ErasureRig, canary, erase_visitor, visitor_chat
from tests.fixtures.gateway import Chat, Tenant
from tests.fixtures.stored_turns import tenant_id_of
from tests.integration.test_permission_matrix import person


def exporter(erasing: ErasureRig) -> Exporter:
    return Exporter(erasing.rig.services.db, erasing.blobs)


async def made(erasing: ErasureRig, who: Tenant, address: str) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """Ask for an export, let it be made, and take it away."""
    asked = await who.post(address)
    assert asked.status_code == 202, asked.text
    place = f"{address.replace('/me/exports', '/exports')}/{asked.json()['id']}"
    assert (await who.get(f"{place}/archive")).status_code == 404
    while await exporter(erasing).work() is not None:
        pass
    state = (await who.get(place)).json()
    archive = await who.get(f"{place}/archive")
    assert (state["state"], archive.status_code) == ("done", 200)
    assert archive.headers["Content-Type"] == "application/zip"
    assert state["size"] == len(archive.content)
    assert state["sha256"] == hashlib.sha256(archive.content).hexdigest()
    return state, zipfile.ZipFile(io.BytesIO(archive.content))


def rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{name}.jsonl").splitlines()]


def checked(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The manifest, after every file of the archive was found to be as it says."""
    manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    assert {file["name"] for file in manifest["files"]} | {"manifest.json"} == set(archive.namelist())
    for file in manifest["files"]:
        data = archive.read(file["name"])
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert file.get("rows", len(data.splitlines())) == len(data.splitlines())
    return manifest


async def test_a_visitor_takes_away_what_is_theirs_and_nothing_else(erasing: ErasureRig, chat: Chat) -> None:
    mine, other = canary(), canary()
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    await erasing.talk(theirs, f'{mine}\\n"x"\t\\ 東京', clear=False)
    await erasing.talk(chat, other)
    _, archive = await made(erasing, theirs.tenant, f"/chatbots/{chat.bot}/visitors/{visitor}/exports")
    manifest = checked(archive)
    assert (manifest["format"], manifest["kind"], manifest["subject"]) == ("loquent-export-1", "visitor", visitor)
    messages = {row["role"]: row for row in rows(archive, "messages")}
    assert messages["user"]["content"] == f'What is {mine}\\n"x"\t\\ 東京?'
    assert (len(messages), messages["assistant"]["state"]) == (2, "completed")
    assert rows(archive, "feedback")[0]["rating"] == "down"
    assert rows(archive, "visitor")[0]["id"] == visitor
    assert [len(rows(archive, name)) for name in ("sessions", "citations", "consents")] == [1, 1, 0]
    assert not any(other.encode() in archive.read(name) for name in archive.namelist())


async def test_the_company_takes_away_everything_with_the_documents(erasing: ErasureRig, chat: Chat) -> None:
    stranger = await erasing.rig.register()
    document = await erasing.document(chat, "lamp", "../../naughty.txt")
    await erasing.talk(chat, "lamp")
    _, archive = await made(erasing, chat.tenant, "/exports")
    manifest = checked(archive)
    assert archive.read(f"documents/{document}") == b"It says lamp."
    assert [row["email"] for row in rows(archive, "members")] == [chat.tenant.email]
    assert rows(archive, "documents")[0]["id"] == str(document)
    assert {row["chatbot_id"] for row in rows(archive, "chatbot_configs")} == {chat.bot}
    assert len(rows(archive, "messages")) == 2
    whole = b"".join(archive.read(name) for name in archive.namelist())
    assert stranger.email.encode() not in whole
    assert b"password" not in whole.replace(b"naughty", b"")
    assert manifest["tenant_id"] == str(tenant_id_of(chat))
    actions = [item["action"] for item in (await chat.tenant.get("/audit")).json()["items"]]
    assert actions[:2] == ["data.download", "data.export"]


async def test_a_member_takes_away_their_own_and_nobody_else_does(erasing: ErasureRig, chat: Chat) -> None:
    tenant = tenant_id_of(chat)
    agent = Tenant(erasing.rig.http, {"access_token": await person(erasing.rig, tenant, Role.AGENT)}, "")
    state, archive = await made(erasing, agent, "/me/exports")
    checked(archive)
    assert rows(archive, "user")[0]["id"] == state["subject"]
    assert rows(archive, "memberships")[0]["role"] == "agent"
    owners, _ = await made(erasing, chat.tenant, "/exports")
    for who, export in ((chat.tenant, state["id"]), (agent, owners["id"])):
        assert (await who.get(f"/exports/{export}")).status_code == 404
        assert (await who.get(f"/exports/{export}/archive")).status_code == 404
    assert (await agent.post("/exports")).status_code == 403


async def test_strangers_and_other_visitors_get_nothing(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    other, other_id = await visitor_chat(erasing.rig, chat)
    address = f"/chatbots/{chat.bot}/visitors/{visitor}/exports"
    state, _ = await made(erasing, theirs.tenant, address)
    stranger = await erasing.rig.register()
    for who in (other.tenant, stranger):
        assert (await who.post(address)).status_code == 404
        assert (await who.get(f"{address}/{state['id']}/archive")).status_code == 404
    mixed = f"/chatbots/{chat.bot}/visitors/{other_id}/exports/{state['id']}"
    assert (await other.tenant.get(mixed)).status_code == 404
    assert (await chat.tenant.get(f"{address}/{state['id']}/archive")).status_code == 200


async def test_asking_twice_is_one_export(erasing: ErasureRig, chat: Chat) -> None:
    first, second = await chat.tenant.post("/exports"), await chat.tenant.post("/exports")
    assert first.json()["id"] == second.json()["id"]


async def test_an_archive_is_gone_after_a_day(erasing: ErasureRig, chat: Chat) -> None:
    state, _ = await made(erasing, chat.tenant, "/exports")
    key = export_key(tenant_id_of(chat), UUID(state["id"]))
    await exporter(erasing).expire()
    assert await erasing.blobs.count(key) == 1
    await erasing.owner.execute("update exports set expires_at = now() where id = %s", [state["id"]])
    assert (await chat.tenant.get(f"/exports/{state['id']}/archive")).status_code == 404
    await exporter(erasing).expire()
    assert await erasing.blobs.count(key) == 0
    assert (await chat.tenant.get("/exports")).json()["items"] == []


async def test_erasure_takes_archives_along(erasing: ErasureRig, chat: Chat) -> None:
    """The visitor's own, the company's, and one that is being made."""
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    gone = canary()
    await erasing.talk(theirs, gone)
    own, _ = await made(erasing, theirs.tenant, f"/chatbots/{chat.bot}/visitors/{visitor}/exports")
    whole, _ = await made(erasing, chat.tenant, "/exports")
    waiting = (await chat.tenant.post("/exports")).json()["id"]
    answer = await erase_visitor(theirs, visitor)
    await erasing.finish(tenant_id_of(chat), answer.json()["id"])
    for export in (own["id"], whole["id"], waiting):
        assert (await chat.tenant.get(f"/exports/{export}")).status_code == 404
        assert await erasing.blobs.count(export_key(tenant_id_of(chat), UUID(export))) == 0
    assert await erasing.places(gone) == []


async def test_an_export_that_was_erased_while_it_was_made_leaves_no_archive(
    erasing: ErasureRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = (await chat.tenant.post("/exports")).json()["id"]
    put_file = type(erasing.blobs).put_file

    async def put_and_erase(self: Any, *arguments: Any) -> None:
        await put_file(self, *arguments)
        await erasing.owner.execute("delete from exports where id = %s", [export])

    monkeypatch.setattr(type(erasing.blobs), "put_file", put_and_erase)
    await exporter(erasing).work()
    assert await erasing.blobs.count(f"{tenant_id_of(chat)}/exports") == 0


async def test_an_export_that_fails_is_tried_again_and_given_up(
    erasing: ErasureRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = (await chat.tenant.post("/exports")).json()["id"]

    async def away(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(type(erasing.blobs), "put_file", away)
    for attempt in range(MOST_ATTEMPTS):
        assert (await chat.tenant.get(f"/exports/{export}")).json()["state"] == "requested", attempt
        await exporter(erasing).work()
    assert (await chat.tenant.get(f"/exports/{export}")).json()["state"] == "failed"
    monkeypatch.undo()
    assert (await chat.tenant.post("/exports")).json()["id"] != export
    # One that was at work when its process ended is made again.
    await erasing.owner.execute("update exports set state = 'running' where state = 'requested'")
    await exporter(erasing).work()
    assert (await chat.tenant.get("/exports")).json()["items"][0]["state"] == "done"


async def test_an_unknown_export_is_not_found(erasing: ErasureRig, chat: Chat) -> None:
    assert (await chat.tenant.get(f"/exports/{uuid4()}")).status_code == 404
