"""Streamed tokens through the whole stack against raw relays and Serve's own proxy, interleaved in one run.

64 streams: 8 tenants with 8 sessions each. Tokens are counted by their text, however frames are cut: a raw relay sends
one in a frame, we send what came within some milliseconds, and that is most of the difference. The load client is
this process; `client_cores` says how much of one core it took from the machine that it measures.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import psutil
import uvloop

from benchmarks.chat_load import Answer, ChatClient, ask_all, busy, raw_clients, seated
from benchmarks.figures import milliseconds, percentile
from benchmarks.installation import RATE, Bench, PlainServe, scripted_installation
from benchmarks.processes import CpuMeter
from benchmarks.raw_relay import Relay, raw_relay

TENANTS, SESSIONS = 8, 8
STREAMS = TENANTS * SESSIONS
ROUNDS, PACED_ROUNDS, PLAIN_ROUNDS = 5, 3, 5
WINDOW_SECONDS = 3.0


@dataclass(frozen=True)
class System:
    """What answers: `clients` opens its 64 sockets for as long as the context lasts."""

    name: str
    clients: Callable[[], AbstractAsyncContextManager[list[ChatClient]]]
    processes: Callable[[], list[psutil.Process]]
    stops: bool
    """Whether it can stop an answer."""


@dataclass(frozen=True)
class Burst:
    tokens_per_second: float
    cpu_us_per_token: float
    tokens_per_frame: float
    client_cores: float


def measure(bench: Bench) -> dict[str, Any]:
    """Burst and paced against the raw relays, then burst against a second installation on Serve's own proxy."""
    figures: dict[str, Any] = {"streams": STREAMS, "rounds": ROUNDS, "window_seconds": WINDOW_SECONDS}
    ours = _installation("ours", bench, "burst")
    with (
        raw_relay("burst", bench.models_file, remote=False) as in_process,
        raw_relay("burst", bench.models_file, remote=True) as remote,
    ):
        systems = (_raw("raw_in_process", in_process), _raw("raw_relay", remote), ours)
        rates = uvloop.run(_bursts(systems, ROUNDS, figures))
    figures["ratio_to_raw_in_process"] = round(rates["ours"] / rates["raw_in_process"], 2)
    figures["ratio_to_raw_relay"] = round(rates["ours"] / rates["raw_relay"], 2)
    figures["target_ratio_to_raw_relay"] = ">= 0.5"
    with (
        raw_relay("paced", bench.models_file, remote=False) as in_process,
        raw_relay("paced", bench.models_file, remote=True) as remote,
    ):
        paced = (
            _raw("raw_in_process", in_process),
            _raw("raw_relay", remote),
            _installation("ours", bench, "paced"),
        )
        uvloop.run(_paces(paced, PACED_ROUNDS, figures))
    with scripted_installation(PlainServe) as plain:
        against: dict[str, Any] = {}
        rates = uvloop.run(_bursts((_installation("plain_serve", plain, "burst"), ours), PLAIN_ROUNDS, against))
    figures |= {name: value for name, value in against.items() if name.endswith("plain_serve")}
    figures["burst_tokens_per_second_beside_plain_serve"] = round(rates["ours"])
    figures["ratio_to_plain_serve"] = round(rates["ours"] / rates["plain_serve"], 2)
    figures["target_ratio_to_plain_serve"] = ">= 4"
    return figures


def _installation(name: str, bench: Bench, model: str) -> System:
    seats = bench.population.seats(bench.population.tenants(TENANTS), SESSIONS, model)
    return System(name, partial(seated, seats), bench.processes, stops=True)


def _raw(name: str, relay: Relay) -> System:
    return System(name, partial(raw_clients, relay.url, STREAMS), relay.processes, stops=False)


async def _bursts(systems: Sequence[System], rounds: int, figures: dict[str, Any]) -> dict[str, float]:
    """Median tokens per second of every system by name; `figures` gets them and what they cost."""
    found: dict[str, list[Burst]] = defaultdict(list)
    for number in range(rounds + 1):
        for system in systems:
            burst = await _burst(system)
            if number:  # the first round warms up
                found[system.name].append(burst)
    for name, bursts in found.items():
        figures[f"burst_tokens_per_second_{name}"] = round(median(burst.tokens_per_second for burst in bursts))
        figures[f"burst_cpu_us_per_token_{name}"] = round(median(burst.cpu_us_per_token for burst in bursts), 1)
        figures[f"burst_tokens_per_frame_{name}"] = round(median(burst.tokens_per_frame for burst in bursts), 1)
        figures[f"burst_client_cores_{name}"] = round(median(burst.client_cores for burst in bursts), 2)
    return {name: median(burst.tokens_per_second for burst in bursts) for name, bursts in found.items()}


async def _burst(system: System) -> Burst:
    """All sockets busy: what arrived in the window."""
    async with system.clients() as clients, busy(clients, stops=system.stops):
        before, frames_before = _received(clients)
        meter = CpuMeter(system.processes)
        await asyncio.sleep(WINDOW_SECONDS)
        after, frames_after = _received(clients)
        wall, cpu, client_cores = meter.wall, meter.cpu, meter.client_cores
    tokens, frames = after - before, frames_after - frames_before
    return Burst(tokens / wall, cpu / tokens * 1e6, tokens / frames, client_cores)


def _received(clients: Sequence[ChatClient]) -> tuple[int, int]:
    """Tokens, and frames that brought them."""
    return sum(client.received for client in clients), sum(client.token_frames for client in clients)


async def _paces(systems: Sequence[System], rounds: int, figures: dict[str, Any]) -> None:
    """All sockets ask at once, `rounds` times; the engine gives every stream the same pace."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for system in systems:
            async with system.clients() as clients:
                meter = CpuMeter(system.processes)
                asked = await ask_all(clients)
                answers[system.name] += asked
                costs[system.name].append(meter.cpu / sum(len(answer.tokens) for answer in asked) * 1e6)
    figures |= {"paced_rounds": rounds, "paced_rate": RATE}
    for name, all_of_it in answers.items():
        late = [late for answer in all_of_it for late in answer.lateness(RATE)]
        pace = median((len(answer.tokens) - 1) / (answer.tokens[-1] - answer.tokens[0]) for answer in all_of_it)
        figures[f"paced_tokens_per_second_{name}"] = round(pace * STREAMS)
        figures[f"paced_lateness_p50_ms_{name}"] = milliseconds(median(late))
        figures[f"paced_lateness_p95_ms_{name}"] = milliseconds(percentile(late, 95))
        figures[f"paced_cpu_us_per_token_{name}"] = round(median(costs[name]), 1)
