"""One attempt at one engine: what is read from it, until when it must have said something, and what it has used."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from domain.errors import AppError
from domain.generation import Delta, EngineTarget, Usage

MOST_CHARACTERS_PER_TOKEN = 128
"""No tokenizer's tokens are longer on average: a provider whose pieces are has no limit of its own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing can be said yet."""

    stage: str
    """`starting` while the model is being loaded, `queued` while every place is taken, `generating` after either."""
    position: int | None = None
    """In the engine's queue, where that is known; 1 is next."""


class Lane:
    def __init__(
        self,
        target: EngineTarget,
        deltas: AsyncGenerator[Delta, None],
        prompt_tokens: int,
        reserved: int,
        most_prompt_tokens: int,
    ) -> None:
        """`reserved` is what was set aside for this attempt alone: only a second one at the same time has that. An
        engine that counts more than `most_prompt_tokens` gets so much less for the answer."""
        self._loop = asyncio.get_running_loop()
        self.target = target
        self.deltas = deltas
        self.reserved = reserved
        self.is_hedge = reserved > 0
        self._most_prompt_tokens = most_prompt_tokens
        self.tokens = 0
        self.usage = Usage(prompt_tokens=prompt_tokens)
        """The engine's own count at the end, ours until then."""
        self.first: Delta | None = None
        self.first_after = 0.0
        """Seconds to the first delta that said something, without the wait for a place."""
        self._characters = 0
        self._began = self._loop.time()
        self.deadline = self._began + target.first_token_seconds

    @property
    def age(self) -> float:
        """Seconds since it began, or got its place."""
        return self._loop.time() - self._began

    def read(self) -> "asyncio.Task[Delta | None]":
        """Read the next delta, None at the end."""
        return self._loop.create_task(self._next())

    def hear(self, delta: Delta) -> None:
        """Take a delta that says nothing yet."""
        self._count(delta)
        if delta.queued:
            self.deadline = self._loop.time() + self.target.queue_seconds
        elif delta.queued == 0:
            self._began = self._loop.time()
            self.deadline = self._began + self.target.first_token_seconds

    def opened(self, delta: Delta) -> None:
        self.first, self.first_after = delta, self.age

    def take(self, delta: Delta, max_tokens: int) -> bool:
        """Count a delta; False when it goes beyond what was asked for, and nothing more is to be read."""
        self._characters += len(delta.text)
        counted = self.usage if delta.usage is None else delta.usage
        room = max_tokens - max(0, counted.prompt_tokens - self._most_prompt_tokens)
        beyond = self.tokens + delta.tokens > room or self._characters > max_tokens * MOST_CHARACTERS_PER_TOKEN
        # What goes beyond is not shown, but it was used: the next turn finds it spent.
        self._count(delta)
        return not beyond or (delta.usage is not None and delta.finish is not None)

    async def close(self, reading: "asyncio.Task[Delta | None]") -> None:
        """End it in the engine as well; what it still said is lost."""
        reading.cancel()
        await asyncio.wait((reading,))
        if not reading.cancelled():
            reading.exception()
        with suppress(AppError):
            await self.deltas.aclose()

    async def _next(self) -> Delta | None:
        return await anext(self.deltas, None)

    def _count(self, delta: Delta) -> None:
        self.tokens += delta.tokens
        told = self.usage
        self.usage = delta.usage or Usage(told.prompt_tokens, self.tokens, told.cached_tokens)
