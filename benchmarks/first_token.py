"""Time to the first token that the whole stack adds to the engine's own: alone, among 32 streams, and for 32 at once.

Among 32 streams everybody reads at 50 tokens a second and asks again when the answer is there. At once means in the
same moment, which is the work of 32 turns on the cores that there are.

The bots answer without documents, and a question carries the session's history as always.
"""

import asyncio
import random
import time
from contextlib import aclosing
from statistics import median
from typing import Any

import uvloop

from benchmarks.chat_load import ChatClient, ask_all, seated
from benchmarks.figures import milliseconds, percentile
from benchmarks.installation import PACED_TOKENS, RATE, SHORT_TOKENS, Bench
from benchmarks.processes import CpuMeter
from benchmarks.raw_engine import request_of
from configs.tables import load_models
from deployments.llm.engines.scripted import ScriptedEngine

TENANTS, SESSIONS = 8, 4
TOGETHER = TENANTS * SESSIONS
ONE_BY_ONE, ROUNDS, AMONG_EACH = 320, 30, 7


def measure(bench: Bench) -> dict[str, Any]:
    """The engine's own times are those of the same engine in this process."""
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Any]:
    seats = bench.population.seats(bench.population.tenants(TENANTS), SESSIONS, "short", SHORT_TOKENS)
    engine = ScriptedEngine(load_models(bench.models_file).engines["short"])
    await engine.open()
    own_alone, own_together = [], []
    alone, together = [], []
    async with seated(seats) as clients:
        await ask_all(clients)
        for number in range(ONE_BY_ONE):
            own_alone.append(await _own_first_token(engine))
            alone.append((await clients[number % len(clients)].ask()).first_token)
        meter = CpuMeter(bench.processes)
        for _ in range(ROUNDS):
            own_together += await asyncio.gather(*(_own_first_token(engine) for _ in clients))
            together += [answer.first_token for answer in await ask_all(clients)]
        cores, client_cores = meter.cpu / meter.wall, meter.client_cores
    among = await _among_streams(bench)
    own = {"one": median(own_alone), "together": median(own_together)}
    return {
        "turns_one_by_one": ONE_BY_ONE,
        "rounds_together": ROUNDS,
        "streams_together": TOGETHER,
        "engine_one_p50_ms": milliseconds(own["one"]),
        "one_p50_ms": milliseconds(median(alone)),
        "one_p95_ms": milliseconds(percentile(alone, 95)),
        "added_one_p50_ms": milliseconds(median(alone) - own["one"]),
        "target_added_one_p50_ms": "<= 15",
        "streams_among": TOGETHER,
        "turns_among": len(among),
        "among_p50_ms": milliseconds(median(among)),
        "among_p99_ms": milliseconds(percentile(among, 99)),
        "target_added_among_p99_ms": "<= 60",
        "engine_together_p50_ms": milliseconds(own["together"]),
        "together_p50_ms": milliseconds(median(together)),
        "together_p99_ms": milliseconds(percentile(together, 99)),
        "added_together_p99_ms": milliseconds(percentile(together, 99) - own["together"]),
        "together_cores": round(cores, 2),
        "together_client_cores": round(client_cores, 2),
    }


async def _among_streams(bench: Bench) -> list[float]:
    """First tokens of turns that begin at any moment while the others stream; the engine's next step is part of it."""
    population = bench.population
    seats = population.seats(population.tenants(TENANTS), SESSIONS, "paced")
    rng, times = random.Random(1), list[float]()

    async def chat(client: ChatClient) -> None:
        await asyncio.sleep(rng.uniform(0, PACED_TOKENS / RATE))
        for _ in range(AMONG_EACH):
            times.append((await client.ask()).first_token)

    async with seated(seats) as clients:
        await asyncio.gather(*map(chat, clients))
    return times


async def _own_first_token(engine: ScriptedEngine) -> float:
    """Seconds; the answer is read to its end, as every reader does."""
    begun, first = time.perf_counter(), 0.0
    async with aclosing(engine.generate(request_of({"id": "0", "text": "Tell me."}))) as deltas:
        async for _ in deltas:
            first = first or time.perf_counter() - begun
    return first
