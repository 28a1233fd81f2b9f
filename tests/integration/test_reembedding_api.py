"""Embedding again over HTTP: what may be asked for, what is told of it, and who does not get to see it."""

from uuid import UUID

import pytest

from domain.documents import Block, ParsedDocument
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parsed_json import dump_parsed
from storage.blobs import PARSED, parsed_key
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.generation_work import GenerationWork
from storage.postgres.tenant_keys import keys_of
from tests.fixtures.gateway import GatewayRig, Tenant
from tests.integration.test_knowledge_api import upload

MODEL = "all-MiniLM-L6-v2"


async def ready(rig: GatewayRig, tenant: Tenant, bot: str, text: str, chunks: int) -> DocumentId:
    """An uploaded document as ingestion leaves it."""
    [document] = await upload(tenant, bot, ("terms.txt", text.encode()))
    tenant_id, document_id = TenantId(UUID(tenant.grant["tenant"]["id"])), DocumentId(UUID(str(document["id"])))
    keys = (await keys_of(rig.services.db, tenant_id)).for_document(document_id)
    parsed = dump_parsed(ParsedDocument(text, (Block(0, len(text)),)))
    await rig.services.blobs.put(parsed_key(tenant_id, document_id), keys.seal(PARSED, parsed))
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        query = "update documents set status = 'ready', chunks = %s where id = %s"
        await tx.execute(query, [chunks, document_id])
    return document_id


async def built(rig: GatewayRig, tenant: Tenant, bot: str) -> None:
    """What the builder leaves of a build whose documents are all done."""
    async with system_tx(rig.services.db) as tx:
        work = GenerationWork(tx)
        claimed = await work.claim()
        assert claimed is not None
        for document in await work.missing(claimed, 100, 1_000_000):
            assert await work.add(claimed, document.id, chunks=3, chunked_with="new")
        await tx.execute(
            "update knowledge_generations set state = 'ready', built_at = now()"
            " where chatbot_id = %s and generation = %s",
            [ChatbotId(UUID(bot)), claimed.generation],
        )


async def test_a_build_is_asked_for_watched_switched_to_and_undone(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    place = f"/knowledgebase/{bot}/reembed"
    document = await ready(rig, tenant, bot, "Twelve months.", 1)
    assert (await tenant.get(place)).json() == {"live": 0, "items": []}
    told = len(rig.notified)
    answer = await tenant.post(place, json={"chunking": {"max_tokens": 100}})
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert (asked["generation"], asked["state"], asked["model"]) == (1, "building", MODEL)
    assert (asked["progress"]["documents"], asked["progress"]["done"]) == (1, 0)
    assert len(rig.notified) == told + 1
    assert (await tenant.post(place, json={})).json()["error"]["code"] == "conflict"
    early = await tenant.post(f"{place}/1/switch")
    assert (early.status_code, "building" in early.json()["error"]["message"]) == (409, True)
    await built(rig, tenant, bot)
    switched = await tenant.post(f"{place}/1/switch")
    assert (switched.status_code, switched.json()["state"]) == (200, "live")
    listed = (await tenant.get(place)).json()
    assert (listed["live"], [item["state"] for item in listed["items"]]) == (1, ["live", "retired"])
    config = (await tenant.get(f"/chatbots/{bot}")).json()["config"]
    assert config["chunking"]["max_tokens"] == 100
    path = f"/knowledgebase/{bot}/documents/{document}"
    assert (await tenant.get(path)).json()["chunks"] == 3
    back = await tenant.post(f"{place}/rollback")
    assert (back.status_code, back.json()["generation"]) == (200, 0)
    assert (await tenant.get(path)).json()["chunks"] == 1
    cancelled = await tenant.post(f"{place}/1/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "removed")
    assert (await tenant.post(f"{place}/rollback")).status_code == 409
    actions = [item["action"] for item in (await tenant.get("/audit")).json()["items"]]
    assert [action for action in actions if action.startswith("knowledge.")] == [
        "knowledge.cancel",
        "knowledge.rollback",
        "knowledge.switch",
        "knowledge.reembed",
    ]


async def test_only_models_that_the_platform_has(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    place = f"/knowledgebase/{bot}/reembed"
    refused = await tenant.post(place, json={"model": "somebody/elses-model"})
    assert refused.status_code == 422
    assert "somebody/elses-model" in refused.text
    assert MODEL in refused.text
    assert (await tenant.get(f"{place}/estimate", params={"model": "no-such"})).status_code == 422
    assert (await tenant.post(place, json={"chunking": {"max_tokens": 4_000}})).status_code == 422
    assert (await tenant.get(place)).json()["items"] == []


async def test_an_estimate_is_made_from_the_documents(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    place = f"/knowledgebase/{bot}/reembed/estimate"
    empty = (await tenant.get(place)).json()
    assert (empty["documents"], empty["chunks"], empty["tokens"], empty["cost_micro"]) == (0, 0, 0, 0)
    sentence = "The warranty of every appliance lasts for twelve months after it was bought. "
    await ready(rig, tenant, bot, 40 * sentence, 4)
    usual = (await tenant.get(place)).json()
    fine = (await tenant.get(place, params={"max_tokens": 40, "overlap_tokens": 0})).json()
    assert (usual["documents"], usual["sampled"], usual["seconds"]) == (1, 1, None)
    assert 400 < usual["tokens"] < 1_200
    assert fine["chunks"] > 3 * usual["chunks"] > 3
    assert fine["chunking"]["max_tokens"] == 40
    assert (await tenant.get(place, params={"max_tokens": 40, "overlap_tokens": 39})).status_code == 422


@pytest.mark.parametrize("number", ["-1", "x", "99999999999999999999"])
async def test_what_is_no_generation(rig: GatewayRig, number: str) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    assert (await tenant.get(f"/knowledgebase/{bot}/reembed/{number}")).status_code == 404
    assert (await tenant.get(f"/knowledgebase/{bot}/reembed/7")).status_code == 404


async def test_another_company_has_no_part_in_it(rig: GatewayRig) -> None:
    tenant, stranger = await rig.register(), await rig.register()
    bot = await tenant.new_bot()
    place = f"/knowledgebase/{bot}/reembed"
    assert (await tenant.post(place, json={})).status_code == 202
    for method, path in (
        ("GET", ""),
        ("GET", "/1"),
        ("GET", "/estimate"),
        ("POST", "/1/cancel"),
        ("POST", "/rollback"),
    ):
        assert (await stranger.call(method, f"{place}{path}")).status_code == 404, path
    assert (await tenant.get(f"{place}/1")).json()["state"] == "building"
