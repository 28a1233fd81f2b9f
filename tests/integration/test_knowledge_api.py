"""Uploads and documents over HTTP, with real files in a real store."""

import hashlib
from typing import Any

import pytest

from deployments.gateway.upload import MAX_FILES
from domain.ids import DocumentId, TenantId
from storage.blobs import ORIGINAL, original_key
from storage.postgres.database import tenant_tx
from storage.postgres.tenant_keys import keys_of
from tests.fixtures.gateway import GatewayRig, Tenant

TEXT = b"The warranty lasts twelve months."


async def upload(tenant: Tenant, bot: str, *files: tuple[str, bytes]) -> list[dict[str, object]]:
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files=[("files", file) for file in files])
    assert answer.status_code == 202, answer.text
    documents: list[dict[str, object]] = answer.json()["documents"]
    return documents


async def test_an_upload_is_stored_queued_and_told_of(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    first, second = await upload(tenant, bot, ("terms.txt", TEXT), ("notes.md", b"# Notes\n\nSome."))
    assert first["name"] == "terms.txt"
    assert (first["status"], first["size"], first["media_type"]) == ("queued", len(TEXT), "text/plain")
    assert second["media_type"] == "text/markdown"
    tenant_id, document_id = TenantId(tenant.grant["tenant"]["id"]), DocumentId(first["id"])  # type: ignore[arg-type]
    keys = (await keys_of(rig.services.db, tenant_id)).for_document(document_id)
    assert keys.open(ORIGINAL, await rig.services.blobs.get(original_key(tenant_id, document_id))) == TEXT
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        events = await (await tx.execute("select kind, aggregate, payload from outbox order by id")).fetchall()
        stored = await (await tx.execute("select content_hash from documents order by id")).fetchall()
    assert [event["kind"] for event in events] == ["document.queued"] * 2
    assert events[0]["aggregate"] == f"document:{first['id']}"
    assert events[0]["payload"] == {"chatbot_id": bot, "document_id": first["id"]}
    assert stored[0]["content_hash"] == hashlib.sha256(TEXT).hexdigest()
    assert len(rig.notified) == 1
    assert (await tenant.get(f"/knowledgebase/{bot}/documents/{first['id']}")).json() == first


async def test_the_same_content_is_one_document(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot, other = await tenant.new_bot(), await tenant.new_bot()
    first, again = await upload(tenant, bot, ("a.txt", TEXT), ("b.txt", TEXT))
    assert again == first
    assert (await upload(tenant, other, ("a.txt", TEXT)))[0]["id"] != first["id"]
    assert len((await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"]) == 1


async def test_documents_are_listed_in_pages_newest_first(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    made = [(await upload(tenant, bot, (f"{i}.txt", b"text %d" % i)))[0]["id"] for i in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await tenant.get(f"/knowledgebase/{bot}/documents", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("empty.txt", b"", 422, "unprocessable"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, 415, "unsupported_media"),
        ("fake.pdf", b"no pdf at all", 415, "unsupported_media"),
        ("archive.docx", b"PK\x03\x04 nothing of Word in here", 415, "unsupported_media"),
        ("big.txt", b"x" * (256 * 1024 + 1), 413, "too_large"),
    ],
)
async def test_a_bad_file_is_refused_and_nothing_of_the_request_stored(
    rig: GatewayRig, name: str, content: bytes, status: int, code: str
) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    files = [("files", ("good.txt", TEXT)), ("files", (name, content))]
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files=files)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert name in answer.json()["error"]["message"]
    assert (await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"] == []


async def test_bodies_that_are_no_form_of_files_are_refused(rig: GatewayRig) -> None:
    tenant = await rig.register()
    path = f"/knowledgebase/{await tenant.new_bot()}/upload"
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    cases: list[tuple[dict[str, Any], int]] = [
        ({"json": {"files": []}}, 400),
        ({"content": b"--other\r\n", "headers": form}, 400),
        (
            {"content": b"--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\ncut", "headers": form},
            400,
        ),
        ({"content": b"--b\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n", "headers": form}, 400),
        ({"files": {"note": (None, "no file")}}, 422),
        ({"files": [("files", (f"{i}.txt", b"text")) for i in range(MAX_FILES + 1)]}, 413),
    ]
    for options, status in cases:
        answer = await tenant.post(path, **options)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]


async def test_the_plan_limits_documents(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    async with tenant_tx(rig.services.db, tenant.grant["tenant"]["id"]) as tx:
        for index in range(50):
            await tx.execute(
                "insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash)"
                " values (%s, gen_random_uuid(), %s, 'x', 'text/plain', 1, %s)",
                [tenant.grant["tenant"]["id"], bot, str(index)],
            )
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": ("a.txt", TEXT)})
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "quota_exceeded"


async def test_a_failed_notification_loses_nothing(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()

    async def away() -> None:
        raise RuntimeError("no supervisor")

    object.__setattr__(rig.services, "notify_ingestion", away)
    assert (await upload(tenant, bot, ("a.txt", TEXT)))[0]["status"] == "queued"


async def test_a_deleted_document_is_gone_and_told_of(rig: GatewayRig) -> None:
    tenant, stranger = await rig.register(), await rig.register()
    bot = await tenant.new_bot()
    document = (await upload(tenant, bot, ("terms.txt", TEXT)))[0]["id"]
    path = f"/knowledgebase/{bot}/documents/{document}"
    assert (await stranger.call("DELETE", path)).status_code == 404
    assert (await tenant.call("DELETE", path)).status_code == 204
    assert (await tenant.get(path)).status_code == 404
    async with tenant_tx(rig.services.db, tenant.grant["tenant"]["id"]) as tx:
        rows = await (await tx.execute("select kind, payload from outbox order by id")).fetchall()
    assert rows[-1] == {"kind": "document.deleted", "payload": {"chatbot_id": bot, "document_id": document}}
