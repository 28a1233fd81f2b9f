"""CPU time of a whole chat: connect, sign in, one question, 64 tokens streamed, metered and saved, close.

It counts every process of the installation, databases included, until nothing of the chats is left to do. What the
installation takes while nobody is there is measured first and told beside; the client's own time is not counted.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from benchmarks.chat_load import ChatClient
from benchmarks.installation import SHORT_TOKENS, Bench
from benchmarks.population import Population, Seat
from benchmarks.processes import CpuMeter, cpu_by_title

TENANTS, CHATS_EACH, WARM_EACH = 8, 40, 5
AT_ONCE = 4
IDLE_SECONDS = 10.0
SETTLE_SECONDS = 30.0
SHOWN_MS = 0.05
OPEN_EVENTS = "select count(*) from outbox where published_at is null"
SAVED = (
    "select count(*) from messages m join usage_ledger l on l.tenant_id = m.tenant_id and l.turn_id = m.turn_id"
    " where m.role = 'assistant' and l.completion_tokens = %s and m.tenant_id = any(%s)"
)


def measure(bench: Bench) -> dict[str, Any]:
    """Every chat has a session of its own; raises when one of them is not saved and metered."""
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Any]:
    population = bench.population
    tenants = population.tenants(TENANTS)
    seats = population.seats(tenants, WARM_EACH + CHATS_EACH, "short", SHORT_TOKENS)
    warm = TENANTS * WARM_EACH
    await chats(seats[:warm])
    await settle(population)

    meter = CpuMeter(bench.processes)
    idle_before = cpu_by_title(bench.processes())
    await asyncio.sleep(IDLE_SECONDS)
    idle_after = cpu_by_title(bench.processes())
    idle_cores = meter.cpu / meter.wall

    count = len(seats) - warm
    meter = CpuMeter(bench.processes)
    await chats(seats[warm:])
    client_cores = meter.client_cores
    await settle(population)
    wall, cpu = meter.wall, meter.cpu
    spent = cpu_by_title(bench.processes())
    parts = {}
    for title in idle_before.keys() & idle_after.keys() & spent.keys():
        idle = (idle_after[title] - idle_before[title]) / IDLE_SECONDS * wall
        parts[title] = 1000 * (spent[title] - idle_after[title] - idle) / count
    saved = population.count(SAVED, SHORT_TOKENS, tenants)
    if saved != len(seats):
        raise RuntimeError(f"{saved} of {len(seats)} chats were saved and metered")
    return {
        "chats": count,
        "tokens_each": SHORT_TOKENS,
        "at_once": AT_ONCE,
        "seconds": round(wall, 1),
        "idle_cores": round(idle_cores, 3),
        "client_cores": round(client_cores, 2),
        "cpu_ms_per_chat_with_idle": round(1000 * cpu / count, 1),
        "cpu_ms_per_chat": round(1000 * (cpu - idle_cores * wall) / count, 1),
        "cpu_ms_per_chat_of": {title: round(ms, 2) for title, ms in sorted(parts.items(), key=_most) if ms >= SHOWN_MS},
        "target_cpu_ms_per_chat": "<= 20",
    }


def _most(part: tuple[str, float]) -> float:
    return -part[1]


async def chats(seats: Sequence[Seat], at_once: int = AT_ONCE) -> None:
    """One whole chat in every seat, a few at a time. Raises Refused, OSError."""
    room = asyncio.Semaphore(at_once)

    async def chat(seat: Seat) -> None:
        async with room:
            client = await ChatClient.open(seat.url, seat.token)
            await client.ask()
            await client.close()

    await asyncio.gather(*map(chat, seats))


async def settle(population: Population) -> None:
    """Until the outbox is empty. Raises TimeoutError."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while population.count(OPEN_EVENTS):
        if time.monotonic() > deadline:
            raise TimeoutError("The outbox does not become empty.")
        await asyncio.sleep(0.2)
