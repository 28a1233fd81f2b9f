"""The processes of the session hosts: one for each slot, and one more that takes the slot of the next that dies."""

import asyncio
from collections.abc import Callable
from typing import Any

import ray
import structlog
from ray.exceptions import RayError

log = structlog.get_logger()

PAUSE_SECONDS = 0.5
"""Before a process that is gone is asked again; Ray starts it anew meanwhile."""


class HostPool:
    """A process has no slot when it starts: it takes one that nobody has, or waits with everything open.

    What a dead host left is taken over as soon as another process has its slot, and that one need not start first.
    The processes themselves know their slots, so that a new keeper finds them as they are.
    """

    def __init__(self, slots: int, actor_of: Callable[[str], Any]) -> None:
        """`actor_of` makes the actor of a name, or finds it."""
        self._slots = slots
        self._actor_of = actor_of
        self._names = [f"session-host-{number}" for number in range(slots + 1)]
        self._living: dict[str, Any] = {}
        """Actors that have started and are not known to be dead."""
        self._slot_of: dict[str, int] = {}

    @property
    def healthy(self) -> dict[str, bool]:
        """Which processes live, by name."""
        return {name: name in self._living for name in self._names}

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._watch(name) for name in self._names))

    async def _watch(self, name: str) -> None:
        while True:
            try:
                actor = self._actor_of(name)
                slot = await actor.start.remote()
                if slot in self._slot_of.values():
                    # Another one took it while this one was thought to be dead; it begins anew, without a slot.
                    ray.kill(actor, no_restart=False)
                else:
                    self._living[name] = actor
                    if slot is not None:
                        self._slot_of[name] = slot
                    self._give_slots()
                await actor.stay.remote()
            except RayError as error:
                log.warning("host_pool.lost", host=name, slot=self._slot_of.get(name), error=type(error).__name__)
            self._living.pop(name, None)
            self._slot_of.pop(name, None)
            self._give_slots()
            await asyncio.sleep(PAUSE_SECONDS)

    def _give_slots(self) -> None:
        """Every slot that nobody has to a process that has none, as far as there are any."""
        free = [name for name in self._living if name not in self._slot_of]
        missing = [slot for slot in range(self._slots) if slot not in self._slot_of.values()]
        for name, slot in zip(free, missing, strict=False):
            self._slot_of[name] = slot
            # A process that dies meanwhile is noticed by its watch.
            self._living[name].take.remote(slot)
            log.info("host_pool.slot_given", host=name, slot=slot)
