"""How long a client waits before it connects again, and what a close code asks of it."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

_RETRY_AFTER = re.compile(r"retry_after=(\d{1,6}(?:\.\d{1,6})?)")


@dataclass(frozen=True)
class Backoff:
    """Exponential with full jitter: anything from nothing to `first × 2^attempt` seconds, at most `longest`.

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    first: float = 0.25
    longest: float = 8.0
    steady: float = 5.0
    """A connection that was signed in for so many seconds begins the count anew."""
    random: Callable[[], float] = random.random

    def delay(self, attempt: int, at_least: float = 0.0) -> float:
        """Seconds to wait before attempt 0, 1, 2 …; the jitter comes on top of what the server asks for."""
        return at_least + self.random() * min(self.longest, self.first * 2.0 ** min(attempt, 30))


class CloseAction(Enum):
    RECONNECT = "reconnect"
    SIGN_IN = "sign in again"
    GIVE_UP = "do not come back"


def close_action(code: int) -> CloseAction:
    """What the protocol says about a close code; an unknown one means: come back."""
    if code == 4401:
        return CloseAction.SIGN_IN
    return CloseAction.GIVE_UP if code in (1008, 4403, 4404) else CloseAction.RECONNECT


def retry_after_of(reason: str) -> float:
    """The seconds that a close reason `retry_after=<seconds>` asks for; 0 when it asks for none."""
    found = _RETRY_AFTER.fullmatch(reason.strip())
    return float(found[1]) if found else 0.0
