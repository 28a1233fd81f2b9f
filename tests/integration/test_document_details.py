"""Metadata, source and language of documents: given with an upload, changed, filtered by, and bounded."""

import json
from hashlib import sha256
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from domain.chunking_config import ChunkingConfig
from domain.document_filter import DocumentFilter
from domain.documents import DocumentStatus
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.documents import Documents
from tests.fixtures.gateway import GatewayRig, Tenant
from tests.fixtures.knowledge import KnowledgeBase

Bot = tuple[TenantId, ChatbotId]


async def upload(tenant: Tenant, bot: str, name: str, **fields: Any) -> dict[str, Any]:
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": (name, name.encode())}, data=form)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()["documents"][0]
    return document


async def names(tenant: Tenant, bot: str, **query: Any) -> list[str]:
    answer = await tenant.get(f"/knowledgebase/{bot}/documents", params=query)
    assert answer.status_code == 200, answer.text
    return sorted(item["name"] for item in answer.json()["items"])


async def test_an_upload_says_what_its_files_are_and_a_list_is_filtered_by_it(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    about = {"team": "sales", "year": 2026, "public": True, "share": 0.5}
    first = await upload(tenant, bot, "Price List.txt", metadata=about, source="s3://files/prices/list.txt")
    await upload(tenant, bot, "terms.md", metadata={"team": "legal", "year": 2025}, note="ignored")
    await upload(tenant, bot, "plain.txt")
    assert (first["metadata"], first["source"], first["language"]) == (about, "s3://files/prices/list.txt", None)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["Price List.txt", "plain.txt", "terms.md"]),
        ({"metadata": '{"team": "sales"}'}, ["Price List.txt"]),
        ({"metadata": '{"team": ["sales", "legal"]}'}, ["Price List.txt", "terms.md"]),
        ({"metadata": '{"team": ["sales", "legal"], "year": 2025.0}'}, ["terms.md"]),
        ({"metadata": '{"public": true}'}, ["Price List.txt"]),
        ({"metadata": '{"public": "true"}'}, []),
        ({"metadata": '{"nothing": ""}'}, []),
        ({"name": "price l"}, ["Price List.txt"]),
        ({"name": "%"}, []),
        ({"source": "s3://files/"}, ["Price List.txt"]),
        ({"source": "s3_"}, []),
        ({"media_type": "text/markdown"}, ["terms.md"]),
        ({"media_type": ["text/markdown", "text/plain"], "name": "pl"}, ["plain.txt"]),
        ({"status": "ready"}, []),
        ({"status": "queued", "name": "terms"}, ["terms.md"]),
        ({"language": "de"}, []),
    ]
    for query, expected in cases:
        assert await names(tenant, bot, **query) == expected, query


async def test_what_is_said_with_the_same_content_again_is_merged_in(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    first = await upload(tenant, bot, "a.txt", metadata={"team": "sales", "year": 2025})
    again = await upload(tenant, bot, "a.txt", metadata={"year": 2026, "public": True})
    assert again["id"] == first["id"]
    assert again["metadata"] == {"team": "sales", "year": 2026, "public": True}
    assert (await upload(tenant, bot, "a.txt"))["metadata"] == again["metadata"]
    assert await names(tenant, bot, metadata='{"year": 2026}') == ["a.txt"]
    digest = sha256(b"a.txt").hexdigest()
    told = {digest: {"team": "legal"}, "0" * 64: {"team": "nobody"}}
    path = f"/knowledgebase/{bot}/hashes"
    assert (await tenant.post(path, json={"hashes": [digest], "metadata": told})).json() == {"known": [digest]}
    assert await names(tenant, bot, metadata='{"team": "legal", "year": 2026}') == ["a.txt"]
    many = {"hashes": [digest], "metadata": {digest: {f"n{number}": number for number in range(20)}}}
    assert (await tenant.post(path, json=many)).json()["error"]["message"].startswith("The document would have more")
    log = (await tenant.get("/audit")).json()["items"]
    assert [item["details"]["fields"] for item in log if item["action"] == "document.update"] == [["metadata"]] * 2


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ("{", 400),
        ('{"a": 1, "a": 2}', 400),
        ('{"a": NaN}', 400),
        ("[]", 422),
        ('{"a": null}', 422),
        ('{"a": {"b": 1}}', 422),
        ('{"a": "\\u0000"}', 422),
        ('{"a": 99999999999999999999}', 422),
        (json.dumps({"a": "x" * 501}), 422),
        (json.dumps({str(number): number for number in range(21)}), 422),
        ("x" * 40_000, 413),
        ("[" * 20_000, 400),
    ],
)
async def test_metadata_that_is_not_flat_and_small_stores_nothing(rig: GatewayRig, metadata: str, status: int) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    path = f"/knowledgebase/{bot}/upload"
    answer = await tenant.post(path, files={"files": ("a.txt", b"text")}, data={"metadata": metadata})
    assert answer.status_code == status, answer.text
    assert await names(tenant, bot) == []


async def test_filters_that_cannot_be_read_are_refused(rig: GatewayRig) -> None:
    tenant = await rig.register()
    path = f"/knowledgebase/{await tenant.new_bot()}/documents"
    for query, status in (
        ({"metadata": "{"}, 400),
        ({"metadata": "[]"}, 422),
        ({"metadata": '{"a": []}'}, 422),
        ({"language": "English"}, 422),
        ({"status": "done"}, 422),
        ({"name": "a\x00"}, 422),
    ):
        assert (await tenant.get(path, params=query)).status_code == status, query


async def test_details_are_changed_one_by_one_and_by_nobody_else(rig: GatewayRig) -> None:
    tenant, stranger = await rig.register(), await rig.register()
    bot = await tenant.new_bot()
    document = await upload(tenant, bot, "a.txt", metadata={"team": "sales"})
    path = f"/knowledgebase/{bot}/documents/{document['id']}"

    async def change(who: Tenant = tenant, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = await who.call("PATCH", path, json=body)
        return answer.status_code, answer.json()

    status, changed = await change(name="../evil\u202e/b.txt")
    assert (status, changed["name"], changed["metadata"]) == (200, "b.txt", {"team": "sales"})
    status, changed = await change(metadata={"year": 2026})
    assert (status, changed["name"], changed["metadata"]) == (200, "b.txt", {"year": 2026})
    assert (await change(metadata={}))[1]["metadata"] == {}
    assert (await tenant.get(path)).json()["name"] == "b.txt"
    assert (await change(stranger, name="mine.txt"))[0] == 404
    for body in ({"name": ""}, {"name": "  "}, {"metadata": {"a": None}}, {"status": "ready"}, {"source": "x"}):
        assert (await change(**body))[0] == 422, body
    log = (await tenant.get("/audit")).json()["items"]
    fields = [item["details"]["fields"] for item in log if item["action"] == "document.update"]
    assert fields == [["metadata"], ["metadata"], ["name"]]
    assert "2026" not in json.dumps([item["details"] for item in log])
    async with tenant_tx(rig.services.db, tenant.grant["tenant"]["id"]) as tx:
        events = await (await tx.execute("select payload from outbox where kind = 'document.renamed'")).fetchall()
    assert [event["payload"] for event in events] == [{"chatbot_id": bot, "document_id": document["id"]}]


async def test_retrieval_finds_the_documents_of_a_filter(knowledge: KnowledgeBase, bot: Bot) -> None:
    german, english = [await knowledge.upload(*bot, name.encode(), name) for name in ("preise.txt", "prices.txt")]
    other = await knowledge.upload(*await knowledge.new_bot(bot[0]), b"else", "preise.txt")
    async with system_tx(knowledge.db) as tx:
        documents = Documents(tx)
        await documents.claim_batch(10, 1_000_000)
        for document, language in ((german, "de"), (english, None), (other, "de")):
            assert await documents.mark_ready(bot[0], document.id, None, 1, language=language, chunked_with="x")
    stored = await knowledge.document(german)
    assert (stored.status, stored.language, stored.chunked_with) == (DocumentStatus.READY, "de", "x")

    async def matching(tenant: TenantId = bot[0], **chosen: Any) -> list[DocumentId]:
        async with tenant_tx(knowledge.db, tenant) as tx:
            return await Documents(tx).matching(*bot, DocumentFilter.model_validate(chosen))

    assert await matching() == [german.id, english.id]
    assert await matching(languages=["de", "fr"]) == [german.id]
    assert await matching(document_ids=[english.id, other.id]) == [english.id]
    assert await matching(name="PREISE") == [german.id]
    assert await matching(metadata={"team": "x"}) == []
    assert await matching((await knowledge.new_bot())[0]) == []


async def test_documents_say_that_they_were_cut_in_another_way(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    document = await upload(tenant, bot, "a.txt")
    path = f"/knowledgebase/{bot}/documents/{document['id']}"
    usual = ChunkingConfig().fingerprint(rig.services.settings.embedding_model)

    async def stale(chunked_with: str | None) -> bool:
        async with tenant_tx(rig.services.db, tenant.grant["tenant"]["id"]) as tx:
            await tx.execute("update documents set status = 'ready', chunked_with = %s", [chunked_with])
        found: bool = (await tenant.get(path)).json()["stale"]
        assert [item["stale"] for item in (await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"]] == [
            found
        ]
        return found

    assert document["stale"] is False
    assert [await stale(usual), await stale("1|other"), await stale(None)] == [False, True, False]
    change = {"chunking": {"max_tokens": 100}}
    assert (await tenant.call("PUT", f"/chatbots/{bot}/config", json=change)).status_code == 200
    assert await stale(usual)
    now = ChunkingConfig(max_tokens=100).fingerprint(rig.services.settings.embedding_model)
    assert not await stale(now)


async def test_work_comes_with_the_bots_present_chunking(knowledge: KnowledgeBase, bot: Bot) -> None:
    plain = await knowledge.upload(*await knowledge.new_bot(), b"plain")
    document = await knowledge.upload(*bot, b"text")
    async with system_tx(knowledge.db) as tx:
        for version, tokens in ((1, 100), (2, 64)):
            config = Jsonb({"chunking": ChunkingConfig(max_tokens=tokens).model_dump(mode="json")})
            await tx.execute("insert into chatbot_configs values (%s, %s, %s, %s)", [*bot, version, config])
        await tx.execute("update chatbots set version = 2 where id = %s", [bot[1]])
        claimed = {one.document.id: one.chunking for one in await Documents(tx).claim_batch(10, 1_000_000)}
    assert ChunkingConfig.model_validate_json(claimed[document.id]) == ChunkingConfig(max_tokens=64)
    assert claimed[plain.id] == ""
