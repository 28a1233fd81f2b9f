"""How a chat socket ends: the close codes of the protocol, and the reasons that go with them."""

import asyncio
import math
from contextlib import suppress
from typing import Self

from starlette.types import Send

from domain.errors import AppError, Forbidden, NotAuthenticated, NotFound

GONE = 0
"""No code: there is nobody to tell."""
POLICY, FAILED, TRY_AGAIN, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND = 1008, 1011, 1013, 4401, 4403, 4404
RETRY_SECONDS = 5.0
"""What a client that is turned away is told to wait when the error does not say."""


class CloseSocket(Exception):
    """Ends the socket with a close code."""

    def __init__(self, code: int, retry_after: float | None = None) -> None:
        """`retry_after` is in seconds, for TRY_AGAIN only."""
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after or RETRY_SECONDS

    @classmethod
    def because_of(cls, error: AppError) -> Self:
        """The end of a socket that could not be opened."""
        if isinstance(error, NotAuthenticated):
            return cls(UNAUTHENTICATED)
        if isinstance(error, Forbidden):
            return cls(FORBIDDEN)
        return cls(NOT_FOUND) if isinstance(error, NotFound) else cls(TRY_AGAIN, error.retry_after)

    async def send(self, send: Send, within_seconds: float) -> None:
        """Send the close. A client that does not read keeps even that waiting; the server drops it later."""
        reason = f"retry_after={math.ceil(self.retry_after)}" if self.code == TRY_AGAIN else ""
        with suppress(RuntimeError, OSError):  # it is gone; TimeoutError is an OSError
            async with asyncio.timeout(within_seconds):
                await send({"type": "websocket.close", "code": self.code, "reason": reason})


class TooSlow(CloseSocket):
    """The client has stopped to read: nothing more can be told."""

    def __init__(self) -> None:
        super().__init__(TRY_AGAIN)
