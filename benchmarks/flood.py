"""A tenant that asks as much as the server lets it, from a process of its own so as not to slow another client down."""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection

import uvloop

from benchmarks.chat_load import ChatClient, Refused, open_all
from benchmarks.population import Seat
from benchmarks.processes import CpuMeter
from domain.errors import RateLimited

READY_SECONDS = 60.0
MOST_PAUSE_SECONDS = 1.0
"""It comes back sooner than it is told."""
FILLING_SECONDS = 1.0
"""Until the tenant's queue is full."""


@asynccontextmanager
async def flooding(seats: Sequence[Seat]) -> AsyncIterator[dict[str, float]]:
    """Every seat has a socket that asks again and again; begins when answers arrive, ends when all are stopped.

    Afterwards the dict says what came of it: `tokens_per_second`, `answered`, `refused` for too many questions,
    `refused_<code>` for any other reason, `closed` sockets, `client_cores`.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(list(seats), there), daemon=True)
    process.start()
    found: dict[str, float] = {}
    try:
        if not await asyncio.to_thread(here.poll, READY_SECONDS):
            raise TimeoutError("The flood does not begin.")
        here.recv()
        yield found
        here.send(None)
        found |= await asyncio.to_thread(here.recv)
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


def _run(seats: list[Seat], pipe: Connection) -> None:
    uvloop.run(_flood(seats, pipe))


async def _flood(seats: list[Seat], pipe: Connection) -> None:
    counts: Counter[str] = Counter()
    over = asyncio.Event()
    clients = await open_all(seats)
    jobs = [asyncio.create_task(_pester(client, counts, over)) for client in clients]
    while True:
        if any(client.received for client in clients):
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(FILLING_SECONDS)
    meter = CpuMeter(list)
    before = sum(client.received for client in clients)
    counts.clear()
    pipe.send(None)
    await asyncio.to_thread(pipe.recv)
    tokens = sum(client.received for client in clients) - before
    found = {"tokens_per_second": tokens / meter.wall, "client_cores": meter.client_cores, **counts}
    over.set()
    # Also what waits in the queue is stopped; a stop that comes too late gets an error that nobody reads.
    while not all(job.done() for job in jobs):
        for client, job in zip(clients, jobs, strict=True):
            if not job.done():
                client.stop()
        await asyncio.wait(jobs, timeout=1)
    pipe.send(found | {"closed": sum(client.closed is not None for client in clients)})


async def _pester(client: ChatClient, counts: Counter[str], over: asyncio.Event) -> None:
    while client.closed is None and not over.is_set():
        try:
            await client.ask()
            counts["answered"] += 1
        except Refused as refusal:
            counts["refused" if refusal.code == RateLimited.code else f"refused_{refusal.code}"] += 1
            pause = min(refusal.retry_after or MOST_PAUSE_SECONDS, MOST_PAUSE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause)
