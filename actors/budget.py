"""A tenant's tokens of the month: what the ledger has, and what running turns may still use."""

import time

from domain.plans import Plan


class TokenBudget:
    """Reserved before a generation, settled after it, so that parallel turns never pass the plan together."""

    def __init__(self, used: int) -> None:
        self._used = used
        self._reserved = 0
        self._month = _this_month()

    @property
    def outdated(self) -> bool:
        """Whether a new month has begun: count afresh."""
        return self._month != _this_month()

    def restart(self, used: int) -> None:
        self._used, self._month = used, _this_month()

    def allow(self, plan: Plan) -> None:
        """Raise QuotaExceeded when nothing is left."""
        plan.allow_tokens(self._used + self._reserved, 1)

    def reserve(self, plan: Plan, tokens: int) -> None:
        """Raise QuotaExceeded when `tokens` more could pass the plan's limit."""
        plan.allow_tokens(self._used + self._reserved, tokens)
        self._reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """A turn has ended: give its reservation back and count what it used."""
        self._reserved -= reserved
        self._used += used


def _this_month() -> tuple[int, int]:
    now = time.gmtime()
    return now.tm_year, now.tm_mon
