"""The scripted engine: a deterministic twin of a model for tests and measurements, with its pace and failures.

Options, all by name in models.yaml:
- `reply`: the answer's text; without it, the last user message comes back; as a JSON object where that is asked for.
  `tokens`: how many tokens it has (its own words when 0), repeating the text as needed.
- `tokens_per_second` (0: as fast as possible), one token per stream and step, all streams in the same step as in a
  real engine; `first_token_ms` (0); `open_ms` (0): how long it takes to be ready; `batch` (16): tokens per delta when
  there is no pace.
- `fail`: `never`, `before` the first token, `midway` after half of the tokens, `busy` (rate limited), `refuse` (invalid
  input), `hang` (never ends), `dead` (unhealthy as well); `fail_every` (1): only every n-th generation fails;
  `fail_rate` (1.0): of those only this part, at random but the same for the same `seed` (0).
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncGenerator

from configs.engine_options import ScriptedOptions
from configs.tables import EngineSpec
from domain.errors import EngineFailed, InvalidInput, RateLimited, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage


class ScriptedEngine:
    def __init__(self, spec: EngineSpec) -> None:
        options = ScriptedOptions.model_validate(spec.options)
        self._options = options
        self._random = random.Random(options.seed)
        self._numbers = itertools.count(1)
        self._steps = _Steps(1 / options.tokens_per_second) if options.tokens_per_second > 0 else None
        self.open_now = False
        self.running = 0
        """Generations that have begun and not ended, so that a test can see a cancellation arrive."""

    async def open(self) -> None:
        await asyncio.sleep(self._options.open_ms / 1000)
        self.open_now = True

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        if not self.open_now:
            raise Unavailable
        options = self._options
        failure = options.fail if next(self._numbers) % options.fail_every == 0 else "never"
        if options.fail_rate < 1 and self._random.random() >= options.fail_rate:
            failure = "never"
        self.running += 1
        try:
            await self._begin(failure)
            words = self._words(request)
            wanted = words[: request.max_tokens]
            breaks_at = len(wanted) // 2 if failure == "midway" else None
            size = 1 if self._steps else options.batch
            for start in range(0, len(wanted), size):
                if breaks_at is not None and start >= breaks_at:
                    raise EngineFailed
                await (self._steps.next() if self._steps else asyncio.sleep(0))
                piece = wanted[start : start + size]
                yield Delta("".join(piece), len(piece))
            if breaks_at is not None:
                raise EngineFailed
            finish = FinishReason.STOP if len(wanted) == len(words) else FinishReason.LENGTH
            prompt = sum(len(message.content.split()) for message in request.messages)
            yield Delta("", 0, finish, Usage(prompt, len(wanted)))
        finally:
            self.running -= 1

    async def _begin(self, failure: str) -> None:
        if self._options.first_token_ms:
            await asyncio.sleep(self._options.first_token_ms / 1000)
        if failure in ("before", "dead"):
            raise EngineFailed
        if failure == "busy":
            raise RateLimited("The scripted model is busy.", retry_after=1.0)
        if failure == "refuse":
            raise InvalidInput("The scripted model refuses this request.")
        if failure == "hang":
            await asyncio.Event().wait()

    def _words(self, request: GenerationRequest) -> list[str]:
        asked = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
        text = self._options.reply or asked
        if request.form is not None:
            text = json.dumps({"answer": text}, ensure_ascii=False)
        words = text.split() or ["nothing"]
        count = len(words) if request.form is not None else self._options.tokens or len(words)
        return [words[place % len(words)] + (" " if place < count - 1 else "") for place in range(count)]

    async def healthy(self) -> bool:
        return self.open_now and self._options.fail != "dead"

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None:
        self.open_now = False
        if self._steps:
            self._steps.stop()


class _Steps:
    """One clock for all streams, running only while somebody waits for a step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step: asyncio.Future[None] | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def next(self) -> None:
        if self._step is None:
            loop = asyncio.get_running_loop()
            self._step = loop.create_future()
            # The next point of the grid, so that a late step does not slow the pace down.
            self._due = max(self._due + self._seconds, loop.time())
            self._timer = loop.call_at(self._due, self._tick)
        await asyncio.shield(self._step)

    def _tick(self) -> None:
        step, self._step = self._step, None
        if step is not None and not step.done():
            step.set_result(None)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._step is not None and not self._step.done():
            self._step.cancel()
        self._step = None
