"""The meter of one turn: it holds what the turn may use of its limits, and prices what it does."""

from collections.abc import Sequence

from actors.budget import Account, Limit, TenantBudget
from configs.tables import ModelTable
from domain.budget import BudgetConfig, BudgetKind, BudgetNotice
from domain.errors import QuotaExceeded
from domain.generation import Usage
from domain.ids import ChatbotId
from domain.metering import ModelCall, Tally
from domain.plans import Plan
from domain.prices import PARTS, ceiled


class TurnMeter:
    """Meter over the tenant's budget; `settle` gives back what is left when the turn has ended."""

    def __init__(
        self,
        budget: TenantBudget,
        plan: Plan,
        chatbot_id: ChatbotId,
        table: ModelTable,
        *,
        model: str = "",
        price: int | None = None,
    ) -> None:
        """`model` is the one of calls without a name of their own; `price`, for a million tokens, is theirs instead of
        the model's."""
        self.tally = Tally()
        self._budget = budget
        self._plan = plan
        self._chatbot_id = chatbot_id
        self._table = table
        self._model = model
        self._price = price
        self._limits: tuple[Limit, ...] = ()
        self._accounts: tuple[Account, ...] = budget.accounts(chatbot_id)
        self._held_tokens = self._held_cost = 0
        """Reserved, and not recorded."""
        self._refused: Limit | None = None
        self._settled = False

    def open(self, config: BudgetConfig, visitor: Account | None = None) -> None:
        """What it must stay within; before the first reservation."""
        self._limits = self._budget.limits(self._plan, self._chatbot_id, config, visitor)
        if visitor is not None:
            self._accounts = (*self._budget.accounts(self._chatbot_id), visitor)

    def reserve(self, tokens: int, at_least: int | None = None, model: str | None = None) -> int:
        price = self._table.highest_price(model or self._model) if model or self._price is None else self._price
        granted = tokens
        for limit in self._limits:
            left = limit.left
            if limit.kind is BudgetKind.COST:
                # Rounded up once per call, so that a whole micro-unit is kept for that.
                left = max(left, 0) * PARTS // price if price else tokens
            granted = min(granted, left)
            if granted < (tokens if at_least is None else min(at_least, tokens)):
                self._refused = limit
                raise QuotaExceeded(limit.sentence)
        self._hold(granted, ceiled(granted * price))
        return granted

    def record(self, call: ModelCall, reserved: int = 0) -> None:
        call = self._table.priced(call)
        used = call.usage.total_tokens
        freed = min(self._held_tokens, max(reserved, used))
        self._hold(-freed, -(self._held_cost * freed // self._held_tokens if self._held_tokens else 0))
        # Counted until the ledger has it, also where an engine used more than was reserved.
        for account in self._accounts:
            account.hold(used, call.cost_micro)
        self.tally.add(call)

    @property
    def used(self) -> Usage:
        return self.tally.usage

    def notices(self) -> Sequence[BudgetNotice]:
        """Of limits that are nearly or wholly reached, and were not told of before."""
        found = (limit.notice(self._budget.month, limit is self._refused) for limit in self._limits)
        return [
            one for one in found if one is not None and (one.chatbot_id, one.budget, one.level) not in self._budget.told
        ]

    def settle(self, stored: bool, told: Sequence[BudgetNotice] = ()) -> None:
        """The turn has ended: what it used is spent when the ledger has it, and free again otherwise; once.

        `told` are the notices that were written with it.
        """
        if self._settled:
            return
        self._settled = True
        self._hold(-self._held_tokens, -self._held_cost)
        tokens, cost = self.tally.usage.total_tokens, self.tally.cost_micro
        for account in self._accounts:
            account.hold(-tokens, -cost)
            if stored:
                account.spend(tokens, cost)
        if stored:
            self._budget.told |= {(one.chatbot_id, one.budget, one.level) for one in told}

    def _hold(self, tokens: int, cost: int) -> None:
        self._held_tokens += tokens
        self._held_cost += cost
        for account in self._accounts:
            account.hold(tokens, cost)
