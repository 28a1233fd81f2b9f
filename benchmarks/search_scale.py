"""Retrieval over the API with 100,000 chunks of 1,000 bots beside LanceDB called alone, and with 1,000 chunks of 10.

The raw call is LanceDB's own: both searches of one question in the same table, its handle and the question's vector at
hand, answered as Arrow. The two alternate. A chunk is a paragraph of XQuAD with its vector a little turned, so that the
chunks of a bot are as near to questions as real ones. Questions come for the second time: their vectors are in the
embedder's cache; the first time is told beside.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Any

import httpx
import lancedb
import numpy as np
import uvloop
from lancedb.query import MatchQuery

from benchmarks.figures import milliseconds, percentile
from benchmarks.installation import Bench
from benchmarks.population import BotSeat
from configs.settings import Settings
from domain.documents import Chunk
from domain.ids import DocumentId, new_uuid
from storage.models.embedding import EmbeddingModel, Vectors, embedding_model_path
from storage.vectors.places import database_of, root_of, table_of
from storage.vectors.rows import CHUNK_COLUMNS
from storage.vectors.store import VectorStore
from tests.fixtures.xquad import Xquad, load_xquad

FEW_BOTS, BOTS, CHUNKS_EACH = 10, 1_000, 100
QUESTIONS, RECALLED = 300, 100
TURN = 0.5
"""Length of what is added to a unit vector."""
FILLING_AT_ONCE = 4
EVERYTHING = {"min_score": 0.0, "min_relevance": 0.0, "near_duplicates": None}


def measure(bench: Bench) -> dict[str, Any]:
    """The installation is to be a new one."""
    data = load_xquad("en")
    if data is None:
        return {"skipped": "the data set is not beside the project"}
    return uvloop.run(_measure(bench, data))


async def _measure(bench: Bench, data: Xquad) -> dict[str, Any]:
    shelf = _Shelf(bench, data)
    few = await shelf.fill(FEW_BOTS)
    small = await shelf.times(few)
    many = [*few, *await shelf.fill(BOTS - FEW_BOTS)]
    large = await shelf.times(many)
    recall = await shelf.recall(random.sample(many, RECALLED))
    return {
        "chunks": [FEW_BOTS * CHUNKS_EACH, BOTS * CHUNKS_EACH],
        "bots": [FEW_BOTS, BOTS],
        "questions": QUESTIONS,
        "few": _figures(small),
        "many": _figures(large),
        "p95_ratio_to_raw": round(percentile(large["api"], 95) / percentile(large["raw"], 95), 2),
        "target_p95_ratio_to_raw": "<= 1.5",
        "p95_ratio_to_raw_of_new_questions": round(percentile(large["new"], 95) / percentile(large["raw"], 95), 2),
        "growth_of_p95": round(percentile(large["api"], 95) / percentile(small["api"], 95), 2),
        "recall_at_10_of_exact": recall,
        "target_recall_at_10": ">= 0.95",
    }


def _figures(times: dict[str, list[float]]) -> dict[str, float]:
    return {
        f"{name}_{kind}_ms": milliseconds(value)
        for name, values in times.items()
        for kind, value in (("p50", median(values)), ("p95", percentile(values, 95)))
    }


class _Shelf:
    def __init__(self, bench: Bench, data: Xquad) -> None:
        self._bench = bench
        self._random = np.random.default_rng(5)
        self._objects = str(bench.platform.folder / "objects")
        self._store = VectorStore(self._objects)
        model = EmbeddingModel(embedding_model_path(Settings()), threads=2)
        self._texts = [chunk.text for chunks in data.chunks for chunk in chunks]
        self._paragraphs = model.encode(self._texts)
        self._questions = [asked.text for asked in data.questions]
        self._asked = dict(zip(self._questions, model.encode(self._questions), strict=True))
        self._vectors: dict[BotSeat, Vectors] = {}
        self._tables: dict[BotSeat, Any] = {}
        random.Random(7).shuffle(self._questions)

    async def fill(self, bots: int) -> list[BotSeat]:
        """New bots of a tenant each, with a document of chunks."""
        seats = self._bench.population.bots(bots)
        self._bench.population.analyze()
        limit = asyncio.Semaphore(FILLING_AT_ONCE)

        async def one(seat: BotSeat) -> None:
            async with limit:
                await self._add(seat)

        await asyncio.gather(*(one(seat) for seat in seats))
        return seats

    async def _add(self, seat: BotSeat) -> None:
        chosen = self._random.integers(len(self._texts), size=CHUNKS_EACH)
        noise = self._random.normal(size=(CHUNKS_EACH, self._paragraphs.shape[1]))
        turned = self._paragraphs[chosen] + TURN * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
        chunks = [Chunk(place, 0, 1, self._texts[number]) for place, number in enumerate(chosen)]
        await self._store.add_document(
            seat.tenant_id, seat.chatbot_id, DocumentId(new_uuid()), "paragraphs", chunks, vectors
        )
        await self._store.optimize(seat.tenant_id, seat.chatbot_id)
        self._vectors[seat] = vectors
        database = await lancedb.connect_async(
            database_of(root_of(self._objects), seat.tenant_id), read_consistency_interval=timedelta(0)
        )
        self._tables[seat] = await database.open_table(table_of(seat.chatbot_id))

    async def times(self, seats: Sequence[BotSeat]) -> dict[str, list[float]]:
        """Seconds of each call: questions for the first time, for the second, and LanceDB alone."""
        times: dict[str, list[float]] = {"new": [], "api": [], "raw": []}
        asked = [(random.choice(seats), self._questions.pop()) for _ in range(QUESTIONS)]
        async with httpx.AsyncClient(base_url=self._bench.platform.url, timeout=60) as http:
            for seat, _ in asked:
                # The bot's table is as new to the platform as to the raw call.
                await self._raw(seat, "warm")
                await self._retrieve(http, seat, "warm")
            for name in ("new", "api"):
                for seat, question in asked:
                    begun = time.perf_counter()
                    await self._retrieve(http, seat, question)
                    times[name].append(time.perf_counter() - begun)
                    if name == "api":
                        begun = time.perf_counter()
                        await self._raw(seat, question)
                        times["raw"].append(time.perf_counter() - begun)
        return times

    async def recall(self, seats: Sequence[BotSeat]) -> float:
        """At 10, of the vector search over the API against comparing with every vector."""
        found = 0
        async with httpx.AsyncClient(base_url=self._bench.platform.url, timeout=60) as http:
            for seat in seats:
                question = random.choice(self._questions)
                settings = {"mode": "vector", "top_k": 10, **EVERYTHING}
                passages = (await self._retrieve(http, seat, question, settings))["passages"]
                similarity = self._vectors[seat] @ self._asked[question]
                # The platform computes question vectors in batches of its own, which round otherwise.
                least = np.sort(similarity)[-10] - 1e-3
                found += sum(similarity[passage["ordinal"]] >= least for passage in passages)
        return round(found / (10 * len(seats)), 4)

    async def _retrieve(
        self, http: httpx.AsyncClient, seat: BotSeat, question: str, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer = await http.post(
            f"/chatbots/{seat.chatbot_id}/retrieve",
            json={"question": question, "retrieval": settings or {}},
            headers={"Authorization": f"Bearer {seat.token}"},
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def _raw(self, seat: BotSeat, question: str) -> None:
        table, vector = self._tables[seat], self._asked.get(question, self._paragraphs[0])
        by_vector = table.query().nearest_to(vector).distance_type("cosine").select([*CHUNK_COLUMNS, "_distance"])
        match: Any = MatchQuery
        by_text = table.query().nearest_to_text(match(question, "text")).select([*CHUNK_COLUMNS, "_score"])
        await asyncio.gather(by_vector.limit(30).to_arrow(), by_text.limit(30).to_arrow())
