"""Until when a provider takes nothing more, by model: learned from its answers, announced to the routers."""

import asyncio
import time
from collections.abc import Callable, Mapping

from storage.models.provider_headers import asked_pause, used_up

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds after a refusal without a hint; doubled with every one that follows."""


class ProviderLimits:
    """Of one engine replica. The clock is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = asyncio.Event()
        """Set when a model became limited."""
        self._clock = clock
        self._until: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        """Of models that were refused without a hint, the pause that comes next."""

    def answered(self, model: str, headers: Mapping[str, str]) -> None:
        """The provider took a request: its headers say what is left."""
        self._pauses.pop(model, None)
        seconds = used_up(headers)
        if seconds:
            self._limit(model, seconds)

    def refused(self, model: str, headers: Mapping[str, str]) -> None:
        """The provider refused a request as too many: its headers may say for how long."""
        seconds = asked_pause(headers)
        if seconds is None:
            seconds = used_up(headers)
        if seconds is None:
            seconds = self._pauses.get(model, FIRST_PAUSE)
            self._pauses[model] = min(2 * seconds, LONGEST_PAUSE)
        self._limit(model, seconds)

    def remaining(self) -> dict[str, float]:
        """Seconds that are left of each model's pause, of those that have one."""
        now = self._clock()
        for model in [model for model, until in self._until.items() if until <= now]:
            del self._until[model]
        return {model: round(until - now, 3) for model, until in self._until.items()}

    def _limit(self, model: str, seconds: float) -> None:
        if seconds > 0:
            self._until[model] = self._clock() + seconds
            self.changed.set()
