"""Memory of idle signed-in sockets against the same on raw uvicorn, and 4,000 of them held open for a minute.

Memory is the growth over all processes: PSS, in which shared pages count once. Every socket has a session of its own.
"""

import asyncio
import random
import resource
from typing import Any

import uvloop

from benchmarks.chat_load import ask_all, close_all, open_all, raw_clients, seated
from benchmarks.installation import SHORT_TOKENS, Bench
from benchmarks.processes import CpuMeter, Memory, memory
from benchmarks.raw_relay import raw_relay

TENANTS = 8
SOCKETS, WARM = 4_000, 200
HOLD_SECONDS, RAW_HOLD_SECONDS = 60.0, 5.0
ASKING = 20


def measure(bench: Bench) -> dict[str, Any]:
    """At the end of the minute some of the sockets ask, and all must be open still."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Any]:
    raw = await _raw(bench)
    seats = bench.population.seats(bench.population.tenants(TENANTS), SOCKETS // TENANTS, "short", SHORT_TOKENS)
    async with seated(seats[:WARM]) as few:
        await ask_all(few[:ASKING])
    before = memory(bench.processes())
    opening = CpuMeter(bench.processes)
    clients = await open_all(seats)
    seconds, cpu = opening.wall, opening.cpu
    try:
        holding = CpuMeter(bench.processes)
        await asyncio.sleep(HOLD_SECONDS)
        idle_cores = holding.cpu / holding.wall
        ours = memory(bench.processes()).per_thousand_since(before, SOCKETS)
        answers = await ask_all(random.sample(clients, ASKING))
        open_still = sum(client.closed is None for client in clients)
    finally:
        await close_all(clients)
    return {
        "sockets": SOCKETS,
        "held_seconds": HOLD_SECONDS,
        "open_at_the_end": open_still,
        "asked": ASKING,
        "answered": sum(len(answer.tokens) == SHORT_TOKENS for answer in answers),
        "opened_per_second": round(SOCKETS / seconds),
        "cpu_ms_per_opened_socket": round(1000 * cpu / SOCKETS, 2),
        "cores_while_held": round(idle_cores, 3),
        "pss_mib_per_thousand": round(ours.pss, 1),
        "rss_mib_per_thousand": round(ours.rss, 1),
        "raw_pss_mib_per_thousand": round(raw.pss, 1),
        "raw_rss_mib_per_thousand": round(raw.rss, 1),
        "ratio_to_raw": round(ours.pss / raw.pss, 2),
        "target_ratio_to_raw": "<= 2",
    }


async def _raw(bench: Bench) -> Memory:
    with raw_relay("short", bench.models_file, remote=False) as relay:
        async with raw_clients(relay.url, WARM) as few:
            await ask_all(few[:ASKING])
        before = memory(relay.processes())
        async with raw_clients(relay.url, SOCKETS):
            await asyncio.sleep(RAW_HOLD_SECONDS)
            return memory(relay.processes()).per_thousand_since(before, SOCKETS)
