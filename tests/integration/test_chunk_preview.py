"""The preview of chunks over HTTP: what ingestion would make, with other settings, of files, texts and documents."""

import json
from typing import Any

import pytest

from deployments.gateway import rate_limits
from domain.documents import Block, ParsedDocument
from tests.fixtures import files
from tests.fixtures.gateway import Chat, GatewayRig
from tests.integration.test_passages import PROSE, stored

LONG = PROSE * 2


async def preview(chat: Chat, **body: Any) -> Any:
    answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/chunk-preview", json=body)
    return answer.json() if answer.status_code == 200 else answer.status_code


async def preview_file(chat: Chat, name: str, data: bytes, **fields: Any) -> Any:
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    place = f"/knowledgebase/{chat.bot}/chunk-preview/file"
    answer = await chat.tenant.post(place, files={"files": (name, data)}, data=form)
    return answer.json() if answer.status_code == 200 else answer.json()["error"]


async def test_a_text_is_cut_by_the_bots_settings_or_by_others(rig: GatewayRig, chat: Chat) -> None:
    usual = await preview(chat, text=LONG)
    assert (usual["chunking"]["max_tokens"], usual["window"]) == (200, 254)
    assert usual["total"] == len(usual["chunks"]) > 1
    assert sum(bucket["chunks"] for bucket in usual["histogram"]) == usual["total"]
    assert usual["tokens"]["total"] == sum(chunk["tokens"] for chunk in usual["chunks"])
    second = usual["chunks"][1]
    assert second["overlap"] > 0
    assert usual["chunks"][0]["text"].endswith(second["text"][: second["overlap"]])
    fixed = await preview(chat, text=LONG, chunking={"strategy": "fixed", "max_tokens": 50, "overlap_tokens": 10})
    assert fixed["total"] > usual["total"]
    assert fixed["tokens"]["max"] <= 50
    change = {"chunking": {"max_tokens": 64, "overlap_tokens": 0}}
    assert (await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json=change)).status_code == 200
    small = await preview(chat, text=LONG)
    assert (small["chunking"]["max_tokens"], small["overlap"]) == (64, 0)
    assert (await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents")).json()["items"] == []


async def test_a_document_is_cut_as_it_was_parsed(rig: GatewayRig, chat: Chat) -> None:
    sentences = "It says so. " * 9_000
    text = sentences.strip()
    blocks = tuple(Block(start, start + 11, 1 + start // 60_000, "All") for start in range(0, len(text), 12))
    document = await stored(rig, chat, "long.txt", ParsedDocument(text, blocks, 2, "en"), b"x")
    found = await preview(chat, document_id=document)
    assert (found["characters"], found["pages"], found["language"]) == (len(text), 2, "en")
    assert 90_000 < found["previewed"] <= 100_000
    assert (found["chunks"][0]["page"], found["chunks"][0]["section"]) == (1, "All")
    assert all(text[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in found["chunks"])
    stranger = await rig.register()
    theirs = Chat(stranger, await stranger.new_bot(), "")
    assert await preview(theirs, document_id=document) == 404
    assert await preview(chat, document_id="00000000-0000-7000-8000-000000000000") == 404


async def test_a_file_is_read_as_ingestion_reads_it(rig: GatewayRig, chat: Chat) -> None:
    data = files.docx([(1, "Terms", [PROSE]), (2, "Warranty", [PROSE])])
    found = await preview_file(chat, "terms.docx", data, chunking={"max_tokens": 100, "overlap_tokens": 20})
    assert found["tokens"]["max"] <= 100
    assert {chunk["section"] for chunk in found["chunks"]} == {"Terms", "Terms > Warranty"}
    for name, content, code in (
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "unsupported_media"),
        ("empty.txt", b"", "unprocessable"),
        ("cut.pdf", files.truncated_pdf(), "unprocessable"),
        ("locked.pdf", files.pdf(["Secret."], password="x"), "unprocessable"),
        ("big.txt", b"x" * (256 * 1024 + 1), "too_large"),
    ):
        refusal = await preview_file(chat, name, content)
        assert refusal["code"] == code, refusal
        assert refusal["message"].endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "a\x00"},
        {"text": "a", "document_id": "00000000-0000-7000-8000-000000000000"},
        {"text": "a", "chunking": {"max_tokens": 8}},
        {"text": "a", "chunking": {"max_tokens": 255}},
        {"text": "a", "chunking": {"max_tokens": 100, "overlap_tokens": 60}},
        {"text": " \n "},
    ],
)
async def test_what_cannot_be_cut_is_refused(rig: GatewayRig, chat: Chat, body: dict[str, Any]) -> None:
    assert await preview(chat, **body) == 422


async def test_settings_beyond_the_models_window_are_refused(rig: GatewayRig, chat: Chat) -> None:
    change = {"chunking": {"max_tokens": 255}}
    answer = await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json=change)
    assert (answer.status_code, "254 tokens" in answer.json()["error"]["message"]) == (422, True)
    assert (await preview_file(chat, "a.txt", b"text", chunking={"max_tokens": 255}))["code"] == "invalid_input"
    assert (await preview_file(chat, "a.txt", b"text", chunking="{"))["code"] == "invalid_input"


async def test_previews_are_counted_per_tenant(rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = rate_limits.Rule({"tenant": rate_limits.Rate(1, 0.001)}, closed=True)
    monkeypatch.setitem(rate_limits.RULES, rate_limits.Kind.PREVIEW, rule)
    assert (await preview(chat, text="One."))["total"] == 1
    assert await preview(chat, text="Two.") == 429
