"""Time to first token of a chat while a bulk job is being ingested, against the same chat on an idle installation.

Idle and busy take turns in one run. The documents of a round belong to another tenant and are handed over before; what
is measured is their parsing, embedding and writing beside the chat, on the cores that both share. Questions are only
counted while documents of the round are still waiting.
"""

import asyncio
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Self

import httpx
import uvloop

from benchmarks.chat_load import ChatClient, seated
from benchmarks.figures import milliseconds, percentile
from benchmarks.ingestion import text_of
from benchmarks.installation import SHORT_TOKENS, Bench
from benchmarks.population import Seat
from benchmarks.processes import CpuMeter

ROUNDS, QUESTIONS = 3, 80
PAUSE_SECONDS = 0.05
DOCUMENTS, EACH_REQUEST = 120, 20
WARM_DOCUMENTS = 2
WAIT_SECONDS = 900.0


def measure(bench: Bench) -> dict[str, Any]:
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Any]:
    chatting, loading = bench.population.tenants(2)
    [seat] = bench.population.seats([chatting], 1, "short", SHORT_TOKENS)
    [loader] = bench.population.seats([loading], 1, "short")
    idle: list[float] = []
    busy: list[float] = []
    rates: list[float] = []
    cores: list[float] = []
    async with seated([seat]) as (client,), Loader(bench, loader) as load:
        # The first document starts the workers, the first questions open connections.
        await load.hand_over(range(WARM_DOCUMENTS))
        await load.until_waiting(0)
        await _ask(client, QUESTIONS // 4)
        for number in range(1, ROUNDS + 1):
            idle += await _ask(client, QUESTIONS)
            await load.hand_over(range(number * 1_000, number * 1_000 + DOCUMENTS))
            await load.until_waiting(DOCUMENTS - 1)
            meter, before, begun = CpuMeter(bench.processes), load.chunks(), time.perf_counter()
            asked: list[float] = []
            while len(asked) < QUESTIONS and load.waiting():
                asked += await _ask(client, 5)
            rates.append((load.chunks() - before) / (time.perf_counter() - begun))
            cores.append(meter.cpu / meter.wall)
            busy += asked
            await load.until_waiting(0)
    return {
        "rounds": ROUNDS,
        "questions_idle": len(idle),
        "questions_busy": len(busy),
        "idle_p50_ms": milliseconds(median(idle)),
        "idle_p95_ms": milliseconds(percentile(idle, 95)),
        "busy_p50_ms": milliseconds(median(busy)),
        "busy_p95_ms": milliseconds(percentile(busy, 95)),
        "p50_ratio": round(median(busy) / median(idle), 2),
        "p95_ratio": round(percentile(busy, 95) / percentile(idle, 95), 2),
        "target_p95_ratio": "<= 1.3",
        "chunks_per_second_meanwhile": round(median(rates), 1),
        "cores_meanwhile": round(median(cores), 2),
    }


async def _ask(client: ChatClient, questions: int) -> list[float]:
    """Seconds to the first token of question after question, as somebody reads and asks again."""
    found = []
    for _ in range(questions):
        found.append((await client.ask()).first_token)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


class Loader:
    """Hands documents over as an API client does, and looks at the database how far they are."""

    def __init__(self, bench: Bench, seat: Seat) -> None:
        self._population = bench.population
        self._tenant = seat.tenant_id
        bot = seat.url.split("/chatbots/")[1].split("/")[0]
        self._path = f"/knowledgebase/{bot}/upload"
        headers = {"Authorization": f"Bearer {seat.token}"}
        self._http = httpx.AsyncClient(base_url=bench.platform.url, headers=headers, timeout=60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def hand_over(self, seeds: Sequence[int]) -> None:
        """Raises RuntimeError when one is refused for good."""
        for start in range(0, len(seeds), EACH_REQUEST):
            files = [("files", (f"{seed}.txt", text_of(seed).encode())) for seed in seeds[start : start + EACH_REQUEST]]
            answer = await self._http.post(self._path, files=files)
            while answer.status_code == 429:
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
                answer = await self._http.post(self._path, files=files)
            if answer.status_code != 202:
                raise RuntimeError(f"{answer.status_code}: {answer.text}")

    def waiting(self) -> int:
        """Documents that are not yet searchable."""
        failed = self._count("select count(*) from documents where tenant_id = %s and status = 'failed'")
        if failed:
            raise RuntimeError(f"{failed} documents failed")
        return self._count("select count(*) from documents where tenant_id = %s and status in ('queued', 'processing')")

    def chunks(self) -> int:
        return self._count("select coalesce(sum(chunks), 0) from documents where tenant_id = %s")

    async def until_waiting(self, most: int) -> None:
        """Until no more than `most` documents wait. Raises TimeoutError."""
        deadline = time.monotonic() + WAIT_SECONDS
        while await asyncio.to_thread(self.waiting) > most:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.waiting()} documents still wait")
            await asyncio.sleep(0.2)

    def _count(self, query: str) -> int:
        return self._population.count(query, self._tenant)
