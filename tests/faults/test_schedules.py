"""A short part of `make faults`: one seeded run of the faults that differ most, on one installation."""

import pytest

from tests.faults.schedule import Outcome, drift_of, run_schedule
from tests.faults.world import open_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FAULTS = (
    "gateway",
    "session_host",
    "session_host_before_commit",
    "session_host_after_commit",
    "postgres_kill",
    "valkey_flush",
)
TENANTS, SESSIONS = 2, 7
"""Every behaviour of the load in every run."""


async def test_killed_processes_lose_double_and_mix_up_nothing() -> None:
    outcomes: list[Outcome] = []
    async with open_world(TENANTS) as world:
        for seed, fault in enumerate(FAULTS):
            outcomes.append(await run_schedule(world, seed, fault, SESSIONS, await drift_of(world)))
    assert [violation for outcome in outcomes for violation in outcome.violations] == []
    assert [outcome.not_injected for outcome in outcomes] == [""] * len(FAULTS)
    assert all(outcome.acknowledged for outcome in outcomes)
