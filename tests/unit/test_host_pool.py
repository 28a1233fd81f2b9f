"""Slots of session hosts: each has one process, and the spare takes that of one that dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from ray.exceptions import RayActorError

from cluster import host_pool
from cluster.host_pool import HostPool

SLOTS = 2
DEADLINE_SECONDS = 5.0


class _Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call


class ScriptedHost:
    """An actor of a session host, by what the pool asks of it."""

    def __init__(self) -> None:
        self.slot: int | None = None
        self.starts = True
        self._started = False
        self._death = asyncio.get_running_loop().create_future()
        self.start, self.take, self.stay = _Method(self._start), _Method(self._take), _Method(self._stay)

    def die(self, *, comes_back: bool) -> None:
        self.slot, self.starts, self._started = None, comes_back, False
        death, self._death = self._death, asyncio.get_running_loop().create_future()
        death.set_exception(RayActorError())

    async def _start(self) -> int | None:
        if not self.starts:
            raise RayActorError
        self._started = True
        return self.slot

    def _take(self, slot: int) -> None:
        """As the real one: refused by a process that has not started."""
        if self._started:
            self.slot = slot

    def _stay(self) -> "asyncio.Future[None]":
        return self._death


class Hosts:
    def __init__(self) -> None:
        self.by_name: dict[str, ScriptedHost] = {}

    def of(self, name: str) -> ScriptedHost:
        return self.by_name.setdefault(name, ScriptedHost())

    @property
    def slots(self) -> list[int | None]:
        return [host.slot for host in self.by_name.values()]

    async def eventually(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():
                await asyncio.sleep(0)


@pytest.fixture
async def hosts(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hosts]:
    monkeypatch.setattr(host_pool, "PAUSE_SECONDS", 0.0)
    made = Hosts()
    running = asyncio.create_task(HostPool(SLOTS, made.of).run())
    await made.eventually(lambda: {0, 1} <= set(made.slots))
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_each_slot_has_one_process_and_one_is_spare(hosts: Hosts) -> None:
    await hosts.eventually(lambda: len(hosts.slots) == SLOTS + 1)
    assert sorted(hosts.slots, key=str) == [0, 1, None]


async def test_the_spare_takes_the_slot_of_one_that_does_not_come_back(hosts: Hosts) -> None:
    await hosts.eventually(lambda: len(hosts.slots) == SLOTS + 1)
    dead = next(host for host in hosts.by_name.values() if host.slot == 1)
    dead.die(comes_back=False)
    await hosts.eventually(lambda: sorted(hosts.slots, key=str) == [0, 1, None])
    assert dead.slot is None


async def test_when_more_die_than_are_spare_the_restarted_take_the_rest(hosts: Hosts) -> None:
    await hosts.eventually(lambda: len(hosts.slots) == SLOTS + 1)
    for host in hosts.by_name.values():
        host.die(comes_back=True)
    await hosts.eventually(lambda: sorted(hosts.slots, key=str) == [0, 1, None])


async def test_a_new_keeper_finds_the_slots_as_they_are(hosts: Hosts) -> None:
    await hosts.eventually(lambda: len(hosts.slots) == SLOTS + 1)
    before = {name: host.slot for name, host in hosts.by_name.items()}
    second = HostPool(SLOTS, hosts.of)
    running = asyncio.create_task(second.run())
    await hosts.eventually(lambda: all(second.healthy.values()))
    assert {name: host.slot for name, host in hosts.by_name.items()} == before
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
