"""Models of one's own on the running platform: a cross-encoder that reorders, an encoder that a bot is moved to, and
the recognition of scanned pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from pipelines.parsing.recognition import is_installed
from tests.faults.processes import below, kill
from tests.fixtures.chat import await_document, make_bot, upload
from tests.fixtures.conditions import eventually
from tests.fixtures.cross_encoder import LUCKY
from tests.fixtures.encoder import ENCODER
from tests.fixtures.files import scanned_pdf
from tests.fixtures.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 90.0
QUESTION = "When does the ferry leave the harbour?"
FERRY = "The ferry leaves the harbour at nine in the morning."
DOCUMENTS = 48
"""Three rounds of the builder."""
SUPERVISOR = "ray::IngestionSupervisor"
RERANKER = "ray::ServeReplica:loquent:Reranker"


def ready(owner: httpx.Client, bot: str, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """The documents, once they are searchable."""
    stored = []
    names = list(files)
    for first in range(0, len(names), 16):
        parts = [("files", (name, files[name])) for name in names[first : first + 16]]
        answer = owner.post(f"/knowledgebase/{bot}/upload", files=parts)
        assert answer.status_code == 202, answer.text
        stored += answer.json()["documents"]
    found = [await_document(owner, bot, one["id"]) for one in stored]
    assert {one["status"] for one in found} == {"ready"}, found
    return found


def retrieve(owner: httpx.Client, bot: str, **retrieval: Any) -> dict[str, Any]:
    body = {"question": QUESTION, "retrieval": {"min_relevance": 0, "min_score": 0, **retrieval}}
    answer = owner.post(f"/chatbots/{bot}/retrieve", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [passage["document_name"] for passage in found["passages"]]


async def test_a_cross_encoder_reorders_and_while_it_is_away_the_order_stays(
    platform: Platform, owner: httpx.Client
) -> None:
    bot = make_bot(owner)
    ready(
        owner,
        bot,
        {
            "ferry.txt": FERRY.encode(),
            "harbour.txt": b"Boats rest in the harbour.",
            "zoo.txt": f"A {LUCKY} leaves no traces.".encode(),
        },
    )
    fused = retrieve(owner, bot)
    assert (names(fused)[0], fused["reranking"], "rerank" in fused["timings"]) == ("ferry.txt", "off", False)
    assert {passage["scores"]["rerank"] for passage in fused["passages"]} == {None}
    reranked = retrieve(owner, bot, rerank="on")
    assert (names(reranked)[0], reranked["reranking"]) == ("zoo.txt", "done")
    assert reranked["timings"]["rerank"] > 0
    assert set(fused["timings"]) < set(reranked["timings"])
    scores = [passage["scores"]["rerank"] for passage in reranked["passages"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    by_name = {passage["document_name"]: passage["scores"]["fused"] for passage in fused["passages"]}
    assert {passage["document_name"]: passage["scores"]["fused"] for passage in reranked["passages"]} == by_name

    assert kill(below(platform, RERANKER)) == 1
    without = retrieve(owner, bot, rerank="on")
    assert (names(without), without["reranking"]) == (names(fused), "away")
    await eventually(
        lambda: asyncio.to_thread(lambda: retrieve(owner, bot, rerank="on")["reranking"] == "done"), PATIENCE_SECONDS
    )


@asynccontextmanager
async def searching(owner: httpx.Client, bot: str) -> AsyncIterator[list[str]]:
    """Somebody who asks all the time; the first passage of each answer. Fails where one has none."""
    seen: list[str] = []
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            seen.append(names(await asyncio.to_thread(retrieve, owner, bot))[0])

    asking = asyncio.create_task(ask())
    try:
        yield seen
    finally:
        stop.set()
        await asking


async def test_a_bot_is_moved_to_another_model_and_back_though_the_builder_is_killed(
    platform: Platform, owner: httpx.Client
) -> None:
    bot = make_bot(owner)
    place = f"/knowledgebase/{bot}/reembed"
    notices = {f"{number}.txt": f"Notice {number} of the town on parking.".encode() for number in range(1, DOCUMENTS)}
    ready(owner, bot, {"ferry.txt": FERRY.encode(), **notices})
    model = str(platform.folder / "test-models" / ENCODER)

    async def call(method: str, path: str = "", **body: Any) -> tuple[int, dict[str, Any]]:
        answer = await asyncio.to_thread(owner.request, method, place + path, json=body or None)
        return answer.status_code, answer.json()

    async def live() -> int:
        return int((await call("GET"))[1]["live"])

    async def first() -> dict[str, Any]:
        """What the search finds best."""
        found = await asyncio.to_thread(retrieve, owner, bot)
        return dict(found["passages"][0])

    async def under_way() -> bool:
        return bool((await call("GET", "/1"))[1]["progress"]["done"])

    async def built() -> bool:
        state = (await call("GET", "/1"))[1]["state"]
        assert state in ("building", "ready")
        return bool(state == "ready")

    async with searching(owner, bot) as seen:
        assert (await call("POST", model=model))[0] == 202
        await eventually(under_way, PATIENCE_SECONDS)
        assert kill(below(platform, SUPERVISOR)) == 1
        assert ((await call("POST", "/1/switch"))[0], await live()) == (409, 0), "nothing half is live"
        await eventually(built, PATIENCE_SECONDS)
        _, generation = await call("GET", "/1")
        assert generation["model"] == model
        progress = generation["progress"]
        assert (progress["done"], progress["failed"], progress["chunks"]) == (DOCUMENTS, 0, DOCUMENTS)
        assert generation["comparison"]["candidate"]["recall"] > 0.5
        before = await first()
        assert ((await call("POST", "/1/switch"))[0], await live()) == (200, 1)
        after = await first()
        assert ((await call("POST", "/rollback"))[0], await live()) == (200, 0)
        back = await first()
    assert set(seen) == {"ferry.txt"}
    old, new, again = (one["scores"]["similarity"] for one in (before, after, back))
    assert old == pytest.approx(again, abs=1e-6)
    assert abs(new - old) > 1e-4, "questions were embedded by the other model"


@pytest.mark.skipif(not is_installed(), reason="the extra `ocr` is not installed: `make ocr`")
def test_a_scanned_page_is_found_and_said_to_be_one(owner: httpx.Client) -> None:
    bot = make_bot(owner)
    document = upload(owner, bot, "scan.pdf", scanned_pdf(["Nothing of interest here.", FERRY.replace(" at", "\nat")]))
    stored = await_document(owner, bot, document["id"])
    assert (stored["status"], stored["pages"], stored["recognised_pages"]) == ("ready", 2, 2), stored
    assert stored["recognition_confidence"] > 0.9
    assert stored["notice"] is None
    [first, *_] = retrieve(owner, bot)["passages"]
    assert first["page"] == 2
    text = owner.get(f"/knowledgebase/{bot}/documents/{document['id']}/text").json()["text"]
    assert text[first["start"] : first["end"]] == first["text"]
    assert "leaves the harbour" in first["text"]
