"""The meter of one turn: it holds what the turn may use of its tenant's budget, and prices what it does."""

from actors.budget import TokenBudget
from configs.tables import ModelTable
from domain.generation import Usage
from domain.metering import ModelCall, Tally
from domain.plans import Plan


class TurnMeter:
    """Meter over the tenant's budget; `settle` gives back what is left when the turn has ended."""

    def __init__(self, budget: TokenBudget, plan: Plan, table: ModelTable) -> None:
        self.tally = Tally()
        self._budget = budget
        self._plan = plan
        self._table = table
        self._held = 0
        """Reserved, and not recorded."""

    def reserve(self, tokens: int, at_least: int | None = None) -> int:
        granted = self._budget.reserve(self._plan, tokens, at_least)
        self._held += granted
        return granted

    def record(self, call: ModelCall, reserved: int = 0) -> None:
        used = call.usage.total_tokens
        freed = min(self._held, max(reserved, used))
        self._held -= freed
        # What it used stays counted until the turn is in the ledger, also where it was more than was reserved.
        self._budget.release(freed)
        self._budget.hold(used)
        self.tally.add(self._table.priced(call))

    @property
    def used(self) -> Usage:
        return self.tally.usage

    def settle(self, stored: bool) -> None:
        """The turn has ended: what it used is spent when the ledger has it, and free again otherwise."""
        used = self.tally.usage.total_tokens
        self._budget.release(self._held + used)
        self._held = 0
        if stored:
            self._budget.spend(used)
