"""What every engine is: something that opens, streams generations, says how it is, and closes."""

from collections.abc import AsyncGenerator
from typing import Protocol

from domain.generation import Delta, GenerationRequest


class Engine(Protocol):
    """One engine of configs/models.yaml, in one process."""

    async def open(self) -> None:
        """Load or connect; call it once, before anything else. Raises Unavailable with a sentence."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """Stream an answer. The last delta carries `finish` and the exact usage, and no other does.

        Closing the generator, or cancelling the task that reads it, ends the generation in the engine as well.
        Raises EngineFailed, Unavailable, RateLimited or InvalidInput, whose sentences tell nothing of the inside.
        """

    async def healthy(self) -> bool:
        """Whether it can still answer; False means that only a restart helps."""

    async def reachable(self) -> bool:
        """Whether it is worth asking now; False is for what passes by itself, as a provider that is down."""

    async def close(self) -> None:
        """Give everything back; safe to call twice, and after a failed `open`."""
