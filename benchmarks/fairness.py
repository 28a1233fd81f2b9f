"""Time to first token of a quiet tenant while another floods the same session host and engine, against alone.

Alone and beside the flood take turns in one run. Both tenants have the same plan; the flood fills the tenant's places,
its queue, and is refused beyond. It comes from a process of its own, which takes CPU from the same machine.
"""

import asyncio
import time
from statistics import median
from typing import Any

import uvloop

from benchmarks.chat_load import ChatClient, seated
from benchmarks.figures import milliseconds, percentile
from benchmarks.flood import flooding
from benchmarks.installation import Bench
from benchmarks.population import Seat
from configs.settings import Settings
from domain.placement import slot_of

FLOOD_SOCKETS = 400
"""A `pro` tenant runs 64 turns, 256 wait, and the others are refused."""
QUIET_TOKENS = {"burst": 64, "paced": 8}
QUESTIONS, ROUNDS = 30, 3
PAUSE_SECONDS = 0.02
QUIET_SECONDS = 120.0


def measure(bench: Bench) -> dict[str, Any]:
    """With the engine as fast as it can, where the flood takes all the machine has, and with a paced one."""
    figures: dict[str, Any] = {"flood_sockets": FLOOD_SOCKETS, "rounds": ROUNDS, "questions_each": QUESTIONS}
    for model in QUIET_TOKENS:
        figures |= uvloop.run(_measure(bench, model))
    figures["target_p95_ratio"] = "<= 1.3"
    return figures


async def _measure(bench: Bench, model: str) -> dict[str, Any]:
    quiet, loud = _seats(bench, model)
    alone: list[float] = []
    beside: list[float] = []
    floods: list[dict[str, float]] = []
    async with seated([quiet]) as (client,):
        await _ask(client)
        for flood in loud:
            alone += await _ask(client)
            async with flooding(flood) as found:
                beside += await _ask(client)
            floods.append(found)
            # Turns go on without their sockets: none is to slow the next round alone.
            await _until_quiet(bench, flood[0])
    if strange := {name for found in floods for name in found if name.startswith("refused_")}:
        raise RuntimeError(f"The flood was cut short by something else than its share: {strange}")
    figures = {
        "alone_p50_ms": milliseconds(median(alone)),
        "alone_p95_ms": milliseconds(percentile(alone, 95)),
        "beside_p50_ms": milliseconds(median(beside)),
        "beside_p95_ms": milliseconds(percentile(beside, 95)),
        "p95_ratio": round(percentile(beside, 95) / percentile(alone, 95), 2),
        "p50_ratio": round(median(beside) / median(alone), 2),
        "flood_tokens_per_second": round(median(found["tokens_per_second"] for found in floods)),
        "flood_answered": sum(found.get("answered", 0) for found in floods),
        "flood_refused": sum(found.get("refused", 0) for found in floods),
        "flood_closed": sum(found["closed"] for found in floods),
        "flood_client_cores": round(median(found["client_cores"] for found in floods), 2),
    }
    return {f"{model}_{name}": value for name, value in figures.items()}


async def _ask(client: ChatClient) -> list[float]:
    """Seconds to the first token of question after question."""
    found = []
    for _ in range(QUESTIONS):
        found.append((await client.ask()).first_token)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


def _seats(bench: Bench, model: str) -> tuple[Seat, list[list[Seat]]]:
    """One of the quiet tenant, and a flood's for every round; all these tenants belong to the same session host.

    A round may cost a large part of a tenant's tokens of the month, so that no two rounds have the same tenant.
    """
    slots = Settings(_env_file=None).session_hosts
    population = bench.population
    made = population.tenants(8 * slots * (ROUNDS + 1))
    quiet, *loud = [tenant for tenant in made if slot_of(tenant, slots) == 0][: ROUNDS + 1]
    floods = [population.seats([tenant], FLOOD_SOCKETS, model) for tenant in loud]
    return population.seats([quiet], 1, model, QUIET_TOKENS[model])[0], floods


async def _until_quiet(bench: Bench, seat: Seat) -> None:
    """Until the tenant has no open turn any more. Raises TimeoutError."""
    open_turns = "select count(*) from turns where tenant_id = %s and state in ('accepted', 'running')"
    deadline = time.monotonic() + QUIET_SECONDS
    while bench.population.count(open_turns, seat.tenant_id):
        if time.monotonic() > deadline:
            raise TimeoutError("The flood's turns do not end.")
        await asyncio.sleep(0.2)
