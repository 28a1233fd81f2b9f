"""The faults of the suite by name: each hurts a running installation once, and heals what does not heal by itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
import redis.asyncio

from tests.faults.processes import (
    await_gone,
    below,
    family,
    found,
    freeze,
    haproxies,
    holder_of,
    kill,
    part,
    thaw,
)
from tests.faults.proxy import Moment
from tests.faults.world import World

FREEZE_SECONDS = (5.0, 20.0)
HOLD_SECONDS = 10.0
"""How long a question may take to come to its commit."""
HOST = "ray::SessionHost"
REPLICA = "ray::ServeReplica:loquent:"

Act = Callable[[World, random.Random], Awaitable[None]]


async def _nothing(world: World) -> None:
    """It heals by itself."""


@dataclass(frozen=True)
class Fault:
    inject: Act
    heal: Callable[[World], Awaitable[None]] = _nothing
    prepare: Callable[[World], Awaitable[None]] = _nothing
    """Before the run's load begins."""


def _killing(*titles: str) -> Fault:
    """One process, any of those with the titles."""

    async def inject(world: World, rng: random.Random) -> None:
        _require(kill([rng.choice(await found(world.platform, *titles))]))

    return Fault(inject)


def _killing_host_at(moment: Moment) -> Fault:
    """The session host whose question is at its commit, while the proxy holds it there."""

    async def inject(world: World, rng: random.Random) -> None:
        with world.proxy.holding(moment) as hold:
            async with asyncio.timeout(HOLD_SECONDS):
                await hold.reached.wait()
            host = holder_of(below(world.platform, HOST), hold.client_port)
            if host is None:
                raise LookupError("the connection that committed a question belongs to no session host")
            _require(kill([host]))
            await asyncio.to_thread(await_gone, [host])

    return Fault(inject)


async def _kill_haproxy(world: World, rng: random.Random) -> None:
    _require(kill(haproxies(world.platform)))


async def _kill_second_node(world: World, rng: random.Random) -> None:
    _require(len(world.node.moved()))
    _require(await asyncio.to_thread(world.node.kill))


async def _kill_postgres(world: World, rng: random.Random) -> None:
    _require(kill(_postgres(world)))


async def _freeze_postgres(world: World, rng: random.Random) -> None:
    await _freeze(_postgres(world), rng)


async def _kill_valkey(world: World, rng: random.Random) -> None:
    """`loquent up` starts it again."""
    before = part(world.platform, "Valkey")
    _require(kill([before]))
    async with asyncio.timeout(60):
        while part_or_none(world, "Valkey") in (None, before):
            await asyncio.sleep(0.05)


async def _freeze_valkey(world: World, rng: random.Random) -> None:
    await _freeze([part(world.platform, "Valkey")], rng)


async def _flush_valkey(world: World, rng: random.Random) -> None:
    secret = (world.platform.folder / "valkey" / "secret").read_text("ascii").strip()
    port = (world.platform.folder / "valkey" / "port").read_text("ascii").strip()
    client = redis.asyncio.Redis.from_url(f"redis://:{secret}@127.0.0.1:{port}/0")
    async with client:
        await client.flushall()


async def _freeze(processes: list[psutil.Process], rng: random.Random) -> None:
    _require(freeze(processes))
    try:
        await asyncio.sleep(rng.uniform(*FREEZE_SECONDS))
    finally:
        thaw(processes)


def _postgres(world: World) -> list[psutil.Process]:
    child = world.postgres.child
    assert child is not None
    return family(psutil.Process(child.pid))


def part_or_none(world: World, name: str) -> psutil.Process | None:
    """A server of the installation, or None while it is not running."""
    try:
        return part(world.platform, name)
    except psutil.Error:
        return None


def _require(reached: int) -> None:
    if reached < 1:
        raise LookupError("there was no process to hurt")


FAULTS: dict[str, Fault] = {
    "gateway": _killing(f"{REPLICA}Gateway"),
    "haproxy": Fault(_kill_haproxy),
    "haproxy_manager": _killing("ray::HAProxyManager", "ray::ProxyActor"),
    "session_host": _killing(HOST),
    "session_host_before_commit": _killing_host_at("before_commit"),
    "session_host_after_commit": _killing_host_at("after_commit"),
    "engine": _killing(f"{REPLICA}LlmEngine-"),
    "router": _killing(f"{REPLICA}LlmRouter"),
    "embedder": _killing(f"{REPLICA}Embedder"),
    "serve_controller": _killing("ray::ServeController"),
    "keeper": _killing(f"{REPLICA}Keeper"),
    "second_node": Fault(_kill_second_node, prepare=lambda world: world.node.open()),
    "postgres_kill": Fault(_kill_postgres, heal=lambda world: world.restart_postgres()),
    "postgres_freeze": Fault(_freeze_postgres),
    "valkey_kill": Fault(_kill_valkey),
    "valkey_flush": Fault(_flush_valkey),
    "valkey_freeze": Fault(_freeze_valkey),
    "outbox_relay": _killing("ray::OutboxRelay"),
}
