"""The faults of the suite by name: each hurts a running installation once, and heals what does not heal by itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
import redis.asyncio

from tests.faults.journal import Journal
from tests.faults.probe import recovery_seconds
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
PREPARE_SECONDS = 60.0
BEHIND_SECONDS = 1.5
HOST = "ray::SessionHost"
RELAY = "ray::OutboxRelay"
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


ACCEPTED = b"insert into turns"
ANSWERED = b"insert into usage_ledger"
UNPUBLISHED = b"where published_at is null"
PUBLISHED = b"update outbox set published_at"
COUNTED = b"insert into handled_events"


def _killing(*titles: str) -> Fault:
    """One process, any of those with the titles."""

    async def inject(world: World, rng: random.Random) -> None:
        _require(kill([rng.choice(await found(world.platform, *titles))]))

    return Fault(inject)


def _killing_at(title: str, moment: Moment) -> Fault:
    """The process whose transaction is at `moment`, while the proxy holds it there."""

    async def inject(world: World, rng: random.Random) -> None:
        with world.proxy.holding(moment) as hold:
            async with asyncio.timeout(HOLD_SECONDS):
                await hold.reached.wait()
            holder = holder_of(below(world.platform, title), hold.client_port)
            if holder is None:
                raise LookupError(f"the connection that is held belongs to no {title}")
            _require(kill([holder]))
            await asyncio.to_thread(await_gone, [holder])

    return Fault(inject)


def _losing_connection_at(moment: Moment) -> Fault:
    """The connection only, at `moment`: whoever has it must find out what became of the transaction."""

    async def inject(world: World, rng: random.Random) -> None:
        with world.proxy.holding(moment) as hold:
            async with asyncio.timeout(HOLD_SECONDS):
                await hold.reached.wait()

    return Fault(inject)


async def _kill_hosts_mid_stream(world: World, rng: random.Random) -> None:
    """Every session host, at a moment when some client has read a part of its answer."""
    await _mid_stream(world)
    _require(kill(below(world.platform, HOST)))


async def _kill_hosts_and_flush_valkey(world: World, rng: random.Random) -> None:
    """Mid-stream, so that nothing is left of what clients have read of the running answers."""
    await _mid_stream(world)
    hosts = below(world.platform, HOST)
    _require(freeze(hosts))
    await _flush_valkey(world, rng)
    _require(kill(hosts))


async def _mid_stream(world: World) -> None:
    async with asyncio.timeout(HOLD_SECONDS):
        while not world.journal.mid_stream():
            await asyncio.sleep(0.005)


async def _kill_haproxy(world: World, rng: random.Random) -> None:
    _require(kill(haproxies(world.platform)))


async def _open_second_node(world: World) -> None:
    """With all that moved there at work before the load begins."""
    await world.node.open()
    await recovery_seconds(world, Journal(), PREPARE_SECONDS)


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


async def _flush_valkey_uncounted(world: World, rng: random.Random) -> None:
    """At a moment when events are published and not counted."""
    with world.proxy.holding(Moment(COUNTED, "statement")) as hold:
        async with asyncio.timeout(HOLD_SECONDS):
            await hold.reached.wait()
        # Others come to stand behind the one that is held.
        await asyncio.sleep(BEHIND_SECONDS)
        await _flush_valkey(world, rng)


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
    "session_host_mid_stream": Fault(_kill_hosts_mid_stream),
    "session_host_before_commit": _killing_at(HOST, Moment(ACCEPTED, "commit")),
    "session_host_after_commit": _killing_at(HOST, Moment(ACCEPTED, "committed")),
    "session_host_before_end": _killing_at(HOST, Moment(ANSWERED, "commit")),
    "session_host_after_end": _killing_at(HOST, Moment(ANSWERED, "committed")),
    "session_host_and_valkey_flush": Fault(_kill_hosts_and_flush_valkey),
    "question_before_commit_lost": _losing_connection_at(Moment(ACCEPTED, "commit")),
    "question_after_commit_lost": _losing_connection_at(Moment(ACCEPTED, "committed")),
    "answer_before_commit_lost": _losing_connection_at(Moment(ANSWERED, "commit")),
    "answer_after_commit_lost": _losing_connection_at(Moment(ANSWERED, "committed")),
    "engine": _killing(f"{REPLICA}LlmEngine-"),
    "router": _killing(f"{REPLICA}LlmRouter"),
    "embedder": _killing(f"{REPLICA}Embedder"),
    "serve_controller": _killing("ray::ServeController"),
    "keeper": _killing(f"{REPLICA}Keeper"),
    "second_node": Fault(_kill_second_node, prepare=_open_second_node),
    "postgres_kill": Fault(_kill_postgres, heal=lambda world: world.restart_postgres()),
    "postgres_freeze": Fault(_freeze_postgres),
    "valkey_kill": Fault(_kill_valkey),
    "valkey_flush": Fault(_flush_valkey),
    "valkey_flush_before_count": Fault(_flush_valkey_uncounted),
    "valkey_freeze": Fault(_freeze_valkey),
    "outbox_relay": _killing(RELAY),
    "outbox_relay_before_publish": _killing_at(RELAY, Moment(UNPUBLISHED, "rows")),
    "outbox_relay_after_publish": _killing_at(RELAY, Moment(PUBLISHED, "statement")),
    "outbox_relay_after_count": _killing_at(RELAY, Moment(COUNTED, "committed")),
}
