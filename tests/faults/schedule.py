"""One run: load on a healthy installation, a fault at a seeded moment, recovery, and the check of what is left."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.faults.checker import check
from tests.faults.faults import FAULTS
from tests.faults.journal import Journal
from tests.faults.load import chatter, open_talks
from tests.faults.probe import NotRecovered, recovery_seconds
from tests.faults.rows import Drift, Rows, load_rows
from tests.faults.world import World

LOAD_SECONDS = 3.0
"""The least; the load goes on until the platform has recovered."""
INJECT_AFTER = (0.5, 2.0)
RECOVERY_LIMIT_SECONDS = 120.0
END_SECONDS = 60.0
"""After the fault has healed every turn must have ended, and every event be counted."""


@dataclass(slots=True)
class Outcome:
    seed: int
    fault: str
    recovery: float | None = None
    """Seconds until every tenant was answered again; None when the fault was not injected or did not heal."""
    violations: list[str] = field(default_factory=list)
    settled: float = 0.0
    """Seconds from then until no turn was open, and every event published and counted; END_SECONDS when that failed."""
    turns: dict[str, int] = field(default_factory=dict)
    """How many ended in which state; `taken over` are those of more than one process."""
    not_injected: str = ""
    """Why there was nothing to hurt."""
    questions: int = 0
    acknowledged: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def healed(self) -> bool:
        return self.recovery is not None or bool(self.not_injected)

    def line(self) -> dict[str, Any]:
        return asdict(self)


async def run_schedule(
    world: World, seed: int, fault_name: str, sessions: int = 4, before: Drift | None = None
) -> Outcome:
    """Everything random comes from the seed; `before` is what earlier runs left uncounted.

    Raises OSError, SetupError, httpx.HTTPError and psycopg.OperationalError where the installation is beyond use.
    """
    rng, journal, outcome = random.Random(seed), Journal(), Outcome(seed, fault_name)
    began, since = time.monotonic(), datetime.now(UTC)
    fault = FAULTS[fault_name]
    world.journal = journal
    with suppress(TimeoutError, NotRecovered):
        # What is not ready is found missing by the injection.
        await fault.prepare(world)
    over = asyncio.Event()
    talks = await open_talks(world, journal, rng, sessions, over)
    loaded = time.monotonic()
    load = asyncio.create_task(chatter(talks, rng))
    try:
        await asyncio.sleep(rng.uniform(*INJECT_AFTER))
        try:
            await fault.inject(world, rng)
        except (LookupError, TimeoutError, psycopg.Error) as error:
            outcome.not_injected = repr(error)
        finally:
            await fault.heal(world)
        healed = time.monotonic()
        try:
            seconds = await recovery_seconds(world, journal, RECOVERY_LIMIT_SECONDS)
            outcome.recovery = None if outcome.not_injected else round(seconds, 2)
        except NotRecovered as error:
            outcome.violations.append(f"R {error}")
        await asyncio.sleep(max(0.0, loaded + LOAD_SECONDS - time.monotonic()))
        over.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(load, max(1.0, healed + END_SECONDS - time.monotonic()))
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    rows = await _settled(world, journal, since, healed + END_SECONDS, before or {})
    outcome.settled = round(time.monotonic() - healed, 1)
    outcome.turns = dict(Counter(str(turn["state"]) for turn in rows.turns))
    outcome.turns["taken over"] = len(journal.taken_over())
    canaries = {tenant.id: tenant.canary for tenant in world.tenants}
    outcome.violations += check(journal, rows, canaries, before)
    outcome.questions = sum(len(session.asked) for session in journal.sessions)
    outcome.acknowledged = len({ack["id"] for _, reader in journal.readers() for ack in reader.acks()})
    outcome.errors = journal.errors()
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def drift_of(world: World) -> Drift:
    """What is not counted at the moment; a run compares with it."""
    return (await _rows(world, Journal(), datetime.now(UTC))).drift()


async def _settled(world: World, journal: Journal, since: datetime, deadline: float, before: Drift) -> Rows:
    """The rows once all has ended and been counted, or as they are at the deadline."""
    while True:
        with suppress(psycopg.OperationalError):
            rows = await _rows(world, journal, since)
            at_rest = not rows.open_turns() and rows.published() and rows.drift() == before
            if at_rest or time.monotonic() > deadline:
                return rows
        await asyncio.sleep(0.2)


async def _rows(world: World, journal: Journal, since: datetime) -> Rows:
    tenants = [tenant.id for tenant in world.tenants]
    sessions = [session.session_id for session in journal.sessions]
    return await load_rows(world.system_url, tenants, sessions, since, world.platform.master_keys)
