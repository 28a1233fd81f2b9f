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

    def reserve(self, plan: Plan, tokens: int, at_least: int | None = None) -> int:
        """`tokens`, or what is left when that is `at_least` so many; raise QuotaExceeded when it is not."""
        taken = self._used + self._reserved
        granted = min(tokens, max(plan.limits.max_tokens_per_month - taken, at_least or tokens))
        plan.allow_tokens(taken, granted)
        self._reserved += granted
        return granted

    def hold(self, tokens: int) -> None:
        """Count tokens that a running turn has used already, whatever is left."""
        self._reserved += tokens

    def release(self, tokens: int) -> None:
        """Give back what was reserved or held."""
        self._reserved -= tokens

    def spend(self, tokens: int) -> None:
        """Count tokens that the ledger has."""
        self._used += tokens


def _this_month() -> tuple[int, int]:
    now = time.gmtime()
    return now.tm_year, now.tm_mon
