"""Passages, texts and citations over HTTP: exact in every format, with page and section, and within one's rights."""

from typing import Any
from uuid import UUID

import pytest

from domain.chunking import cut
from domain.chunking_config import ChunkingConfig, ChunkingStrategy
from domain.citing import cite
from domain.conversation import Citation
from domain.documents import Block, Chunk, ParsedDocument, Passage
from domain.ids import DocumentId
from pipelines.parsed_json import dump_parsed
from pipelines.parsing import registry
from pipelines.parsing.sandbox import parse
from storage.blobs import PARSED, parsed_key
from storage.models.embedding import embedding_token_count
from storage.models.store import embedding_weights
from storage.postgres.tenant_keys import keys_of
from tests.fixtures import files
from tests.fixtures.erasure import visitor_chat
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import Stored, path, store_turn, tenant_id_of

PROSE = "The warranty lasts twelve months – für alle 🦓 Lampen. It begins on the day of delivery. " * 9
ROWS = [["Item", "Price", "Note"], *([f"Lamp {n}", f"{n}.50 €", "in stock 東京"] for n in range(60))]
MAIL = (
    b"From: a@example.com\r\nTo: b@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + PROSE.encode()
)
FORMATS: dict[str, tuple[str, bytes]] = {
    registry.PDF: ("a.pdf", files.pdf([PROSE.replace("🦓 ", ""), "Second page.\n" * 30], bookmarks={0: "Warranty"})),
    registry.DOCX: ("a.docx", files.docx([(1, "Terms", [PROSE]), (2, "Warranty", [PROSE])], table=ROWS[:9])),
    registry.PPTX: ("a.pptx", files.pptx([("Terms", [PROSE], "Say it slowly."), ("More", ["東京"], "")])),
    registry.XLSX: ("a.xlsx", files.xlsx({"Prices": ROWS})),
    registry.CSV: ("a.csv", "\n".join(",".join(row) for row in ROWS).encode()),
    registry.HTML: ("a.html", files.html("Shop", f"<h1>Terms</h1><p>{PROSE}</p><h2>Warranty</h2><p>{PROSE}</p>")),
    registry.MARKDOWN: ("a.md", f"# Terms\n\n{PROSE}\n\n## Warranty\n\n{PROSE}\n\n- *one*\n- two\n".encode()),
    registry.TEXT: ("a.txt", PROSE.replace(". ", ".\r\n").encode("utf-16")),
    registry.JSON: ("a.json", b'{"terms": [{"text": "Twelve months \\ud83e\\udd93", "years": 1}, {"text": "None."}]}'),
    registry.EML: ("a.eml", MAIL),
}


async def stored(rig: GatewayRig, chat: Chat, name: str, parsed: ParsedDocument, data: bytes) -> str:
    """The document as ingestion leaves it, but for its row."""
    answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/upload", files={"files": (name, data)})
    assert answer.status_code == 202, answer.text
    document, tenant = DocumentId(UUID(answer.json()["documents"][0]["id"])), tenant_id_of(chat)
    keys = (await keys_of(rig.services.db, tenant)).for_document(document)
    await rig.services.blobs.put(parsed_key(tenant, document), keys.seal(PARSED, dump_parsed(parsed)))
    return str(document)


@pytest.mark.parametrize("media_type", registry.PARSERS)
async def test_spans_are_exact_in_every_format(rig: GatewayRig, chat: Chat, media_type: str) -> None:
    name, data = FORMATS[media_type]
    parsed = parse(data, name, media_type)
    count = embedding_token_count(embedding_weights(rig.services.settings))
    document = await stored(rig, chat, name, parsed, data)
    address = f"/knowledgebase/{chat.bot}/documents/{document}"
    for config in (ChunkingConfig(), ChunkingConfig(strategy=ChunkingStrategy.FIXED, max_tokens=40, overlap_tokens=9)):
        chunks = cut(parsed, count, config)
        assert chunks
        for chunk in chunks[:3] + chunks[-2:]:
            assert parsed.text[chunk.start : chunk.end] == chunk.text
            shown = (await chat.tenant.get(f"{address}/passage", params=span(chunk.start, chunk.end))).json()
            assert (shown["text"], shown["page"], shown["section"]) == (chunk.text, chunk.page, chunk.section)
            [citation, *_] = cite("", chunk.text, [passage(document, name, chunk)])
            quoted = (await chat.tenant.get(f"{address}/passage", params=span(citation.start, citation.end))).json()
            assert quoted["text"] == citation.snippet


def span(start: int, end: int) -> dict[str, int]:
    return {"start": start, "end": end}


def passage(document: str, name: str, chunk: Chunk) -> Passage:
    place = (chunk.ordinal, chunk.start, chunk.end, chunk.text, chunk.page, chunk.section)
    return Passage(DocumentId(UUID(document)), name, *place, 1.0, 1.0)


TEXT = "Before. The warranty lasts twelve months. After.\n\nThe end."
PARSED_TEXT = ParsedDocument(TEXT, (Block(0, 7, 1, "Intro"), Block(8, 48, 2, "Terms > Warranty"), Block(50, 58, 2)), 3)
QUOTED = "The warranty lasts twelve months."


async def test_a_passage_comes_with_its_surroundings(rig: GatewayRig, chat: Chat) -> None:
    document = await stored(rig, chat, "terms.txt", PARSED_TEXT, b"x")
    address = f"/knowledgebase/{chat.bot}/documents/{document}/passage"
    assert (await chat.tenant.get(address, params={"start": 8, "end": 41, "around": 8})).json() == {
        "document_id": document,
        "document_name": "terms.txt",
        "start": 8,
        "end": 41,
        "total": len(TEXT),
        "before": "Before. ",
        "text": QUOTED,
        "after": " After.\n",
        "page": 2,
        "section": "Terms > Warranty",
    }
    for start, end, status in ((5, 5, 400), (0, 10**6, 400), (-1, 4, 422), (10**5, 10**5 + 1, 404)):
        assert (await chat.tenant.get(address, params=span(start, end))).status_code == status
    stranger = await rig.register()
    assert (await stranger.get(address, params=span(0, 5))).status_code == 404


async def test_a_text_is_read_page_by_page_and_piece_by_piece(rig: GatewayRig, chat: Chat) -> None:
    document = await stored(rig, chat, "terms.txt", PARSED_TEXT, b"x")

    async def read(**query: Any) -> Any:
        answer = await chat.tenant.get(f"/knowledgebase/{chat.bot}/documents/{document}/text", params=query)
        return answer.json() if answer.status_code == 200 else answer.status_code

    second = await read(page=2)
    assert (second["text"], second["start"], second["end"], second["pages"]) == (TEXT[8:], 8, len(TEXT), 3)
    assert second["blocks"][0] == {"start": 8, "end": 48, "page": 2, "section": "Terms > Warranty"}
    pieces, start = "", 0
    while start < len(TEXT):
        piece = await read(start=start, limit=20)
        assert piece["start"] == start
        assert all(start <= block["start"] < block["end"] <= piece["end"] for block in piece["blocks"])
        pieces, start = pieces + piece["text"], piece["end"]
    assert pieces == TEXT
    for query, status in (
        ({"page": 3}, 404),
        ({"page": 9}, 404),
        ({"page": 0}, 422),
        ({"page": 2, "start": 0}, 404),
        ({"start": len(TEXT)}, 404),
        ({"limit": 10**6}, 422),
    ):
        assert await read(**query) == status, query


async def cited(rig: GatewayRig, chat: Chat, document: str, at: Chat, start: int = 8) -> Stored:
    citation = Citation(1, DocumentId(UUID(document)), "terms.txt", 2, None, start, start + len(QUOTED), QUOTED)
    return await store_turn(rig, at, "How long?", citations=(citation,))


async def test_a_citation_opens_for_whoever_reads_the_answer(rig: GatewayRig, chat: Chat) -> None:
    document = await stored(rig, chat, "terms.txt", PARSED_TEXT, b"x")
    visitors, _ = await visitor_chat(rig, chat)
    other, _ = await visitor_chat(rig, chat)
    answer = await cited(rig, chat, document, visitors)
    address = path(visitors, f"/messages/{answer.answer}/citations/")
    staff = (await chat.tenant.get(f"{address}1", params={"around": 8})).json()
    assert (staff["before"], staff["text"], staff["after"]) == ("Before. ", QUOTED, " After.\n")
    assert (staff["page"], staff["section"], staff["document_name"]) == (2, "Terms > Warranty", "terms.txt")
    alone = (await visitors.tenant.get(f"{address}1")).json()
    assert (alone["before"], alone["text"], alone["after"]) == ("", QUOTED, "")
    change = {"visitor_sources": "passage"}
    assert (await chat.tenant.call("PUT", f"/chatbots/{chat.bot}/config", json=change)).status_code == 200
    assert (await visitors.tenant.get(f"{address}1", params={"around": 8})).json() == staff
    stranger = await rig.register()
    for who in (other.tenant, stranger):
        assert (await who.get(f"{address}1")).status_code == 404
    passage_address = f"/knowledgebase/{chat.bot}/documents/{document}/passage?start=0&end=5"
    assert (await visitors.tenant.get(passage_address)).status_code == 401
    for position in ("2", "0", "x"):
        assert (await chat.tenant.get(address + position)).status_code == 404


async def test_a_citation_follows_its_passage_and_says_when_it_is_gone(rig: GatewayRig, chat: Chat) -> None:
    moved = ParsedDocument("A new first line.\n\n" + TEXT, (Block(0, len(TEXT) + 19, 1, "New"),), 1)
    document = await stored(rig, chat, "terms.txt", moved, b"x")
    answer = await cited(rig, chat, document, chat)
    address = path(chat, f"/messages/{answer.answer}/citations/1")
    found = (await chat.tenant.get(address)).json()
    assert (found["start"], found["text"], found["section"]) == (27, QUOTED, "New")
    gone = ParsedDocument("Nothing of it.", (Block(0, 14),))
    keys = (await keys_of(rig.services.db, tenant_id_of(chat))).for_document(DocumentId(UUID(document)))
    await rig.services.blobs.put(parsed_key(tenant_id_of(chat), keys.document_id), keys.seal(PARSED, dump_parsed(gone)))
    refused = await chat.tenant.get(address)
    assert (refused.status_code, "anew" in refused.json()["error"]["message"]) == (404, True)
    await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    assert (await chat.tenant.get(address)).status_code == 404
