"""CPU time of a streamed completion of 64 tokens: through `/v1/chat/completions`, and from a server that only says it.

Ours counts every process of the installation, databases included, until nothing of the completions is left to do, less
what the installation takes while nobody is there. The raw server is one uvicorn process without a model, a key, a
question that is stored or an answer that is billed. The same client asks both; its own time is not counted.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import aiohttp
import psutil
import uvloop

from benchmarks.chat_cost import SHOWN_MS, settle
from benchmarks.chat_load import WORD
from benchmarks.installation import SHORT_TOKENS, Bench
from benchmarks.population import OPEN
from benchmarks.processes import CpuMeter, cpu_by_title, tree
from benchmarks.raw_relay import serving
from cluster.embedded.process import free_port

BOTS, EACH, WARM_EACH = 8, 40, 5
AT_ONCE = 4
IDLE_SECONDS = 10.0


def measure(bench: Bench) -> dict[str, Any]:
    """Raises when a completion has not all of its tokens, or its usage."""
    port = free_port()
    with serving([sys.executable, "-m", "benchmarks.raw_completions", str(port), WORD, str(SHORT_TOKENS)], port) as pid:
        return uvloop.run(_measure(bench, f"http://127.0.0.1:{port}", lambda: tree(pid)))


async def _measure(bench: Bench, raw_url: str, raw: Callable[[], list[psutil.Process]]) -> dict[str, Any]:
    seats = bench.population.bots(BOTS, OPEN.model_copy(update={"model": "short", "max_tokens": 4096}))
    count = BOTS * EACH
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        ours = [_Place(http, bench.platform.url, str(seat.chatbot_id), seat.token) for seat in seats]
        theirs = [_Place(http, raw_url, "m", "none")]
        for places in (ours, theirs):
            await _complete(places, BOTS * WARM_EACH)
        await settle(bench.population)
        meter = CpuMeter(bench.processes)
        idle_before = cpu_by_title(bench.processes())
        await asyncio.sleep(IDLE_SECONDS)
        idle_after = cpu_by_title(bench.processes())
        idle_cores = meter.cpu / meter.wall

        meter = CpuMeter(bench.processes)
        await _complete(ours, count)
        client_cores = meter.client_cores
        await settle(bench.population)
        wall, cpu = meter.wall, meter.cpu
        spent = cpu_by_title(bench.processes())

        meter = CpuMeter(raw)
        await _complete(theirs, count)
        raw_cpu = meter.cpu
    parts = {}
    for title in idle_before.keys() & idle_after.keys() & spent.keys():
        idle = (idle_after[title] - idle_before[title]) / IDLE_SECONDS * wall
        parts[title] = 1000 * (spent[title] - idle_after[title] - idle) / count
    own, other = 1000 * (cpu - idle_cores * wall) / count, 1000 * raw_cpu / count
    return {
        "completions": count,
        "tokens_each": SHORT_TOKENS,
        "at_once": AT_ONCE,
        "idle_cores": round(idle_cores, 3),
        "client_cores": round(client_cores, 2),
        "cpu_ms_per_completion": round(own, 1),
        "raw_cpu_ms_per_completion": round(other, 1),
        "ours_to_raw": round(own / other, 2),
        "cpu_ms_per_completion_of": {
            title: round(ms, 2) for title, ms in sorted(parts.items(), key=lambda part: -part[1]) if ms >= SHOWN_MS
        },
    }


class _Place:
    """A model at a server of the OpenAI API."""

    def __init__(self, http: aiohttp.ClientSession, url: str, model: str, key: str) -> None:
        self._http = http
        self._url = f"{url}/v1/chat/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"}

    async def complete(self) -> None:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": f"Tell the story of {uuid4().hex}."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with self._http.post(self._url, json=body, headers=self._headers) as answer:
            answer.raise_for_status()
            text = (await answer.read()).decode()
        said, usage = 0, None
        for line in text.split("\n"):
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                said += sum((choice["delta"].get("content") or "").count(WORD) for choice in chunk["choices"])
                usage = chunk.get("usage") or usage
        if said != SHORT_TOKENS or usage is None or usage["completion_tokens"] != SHORT_TOKENS:
            raise RuntimeError(f"{said} tokens of {SHORT_TOKENS}, {usage}: {text[-300:]}")


async def _complete(places: Sequence[_Place], count: int) -> None:
    """That many completions, evenly from all places, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(place: _Place) -> None:
        async with room:
            await place.complete()

    await asyncio.gather(*(one(places[number % len(places)]) for number in range(count)))
