"""Time to first token with 10,000 tenants registered and 2,000 of them live, against the same with 10.

The measured turns are alike: the second of a session, whose tenant has had a turn within the last minutes.
"""

import random
from collections.abc import Sequence
from statistics import median
from typing import Any

import uvloop

from benchmarks.chat_cost import chats
from benchmarks.chat_load import seated
from benchmarks.figures import milliseconds, percentile
from benchmarks.installation import SHORT_TOKENS, Bench
from benchmarks.population import Seat
from benchmarks.processes import memory

FEW, REGISTERED, ACTIVE = 10, 10_000, 2_000
MEASURED = 240
AT_ONCE = 16


def measure(bench: Bench) -> dict[str, Any]:
    """The installation is to be a new one."""
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> dict[str, Any]:
    population = bench.population
    # Sessions that are not measured warm up what a new installation has not done yet.
    few = population.seats(population.tenants(FEW), 2 * MEASURED // FEW, "short", SHORT_TOKENS)
    population.analyze()
    await chats(few, AT_ONCE)
    await _first_tokens(few[MEASURED:])
    before = await _first_tokens(few[:MEASURED])
    small = memory(bench.processes())

    many = population.seats(population.tenants(REGISTERED - FEW), 1, "short", SHORT_TOKENS)
    population.analyze()
    active = random.sample(many, ACTIVE - FEW)
    await chats(active, AT_ONCE)
    after = await _first_tokens(random.sample(active, MEASURED))
    return {
        "registered": [FEW, REGISTERED],
        "active": [FEW, ACTIVE],
        "turns_measured": MEASURED,
        "first_token_p50_ms_few": milliseconds(median(before)),
        "first_token_p95_ms_few": milliseconds(percentile(before, 95)),
        "first_token_p50_ms_many": milliseconds(median(after)),
        "first_token_p95_ms_many": milliseconds(percentile(after, 95)),
        "growth_ratio": round(median(after) / median(before), 2),
        "target_growth_ratio": "<= 1.2",
        "pss_mib_more": round(memory(bench.processes()).pss - small.pss),
    }


async def _first_tokens(seats: Sequence[Seat]) -> list[float]:
    """Seconds, one turn after the other."""
    async with seated(seats) as clients:
        return [(await client.ask()).first_token for client in clients]
