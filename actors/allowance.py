"""What a tenant may use: its plan as it was read last, and its budget, in the tenant's one live actor."""

from collections.abc import Mapping

from actors.budget import TenantBudget
from actors.turn_meter import TurnMeter
from configs.tables import ModelTable
from domain.budget import MonthSpent
from domain.errors import NotFound, QuotaExceeded, StaleEpoch
from domain.ids import ChatbotId, TenantId
from domain.plans import Plan
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.database import Database, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.turns import Turns

ENTRIES = 10_000
"""How many entries that were told of are remembered, so that none counts twice."""


class Allowance:
    def __init__(
        self, db: Database, tenant_id: TenantId, epoch: int, plans: Mapping[str, Plan], plan_key: str, spent: MonthSpent
    ) -> None:
        """Raises QuotaExceeded for a plan that is not there."""
        self.budget = TenantBudget(spent)
        self.grants = 0
        """That are held beside turns."""
        self._db = db
        self._tenant_id = tenant_id
        self._epoch = epoch
        self._plans = plans
        self._entries: dict[str, None] = {}
        self.follow(plan_key)

    def follow(self, plan_key: str) -> None:
        """The plan is this one now. Raises QuotaExceeded when it is not known."""
        if plan_key not in self._plans:
            raise QuotaExceeded("The plan of this account is not known; contact support.")
        self.plan = self._plans[plan_key]

    async def allow(self) -> None:
        """Raises QuotaExceeded when the month's tokens are spent, by the plan as it is now."""
        await self._begin_month()
        try:
            self.budget.allow(self.plan)
        except QuotaExceeded:
            async with tenant_tx(self._db, self._tenant_id) as tx:
                self.follow(await Turns(tx, self._tenant_id).plan_key())
            self.budget.allow(self.plan)

    async def meter(self, chatbot_id: ChatbotId, table: ModelTable, price: int) -> TurnMeter:
        """Of a call beside the turns, by the plan and the bot's limits of now. Counts as a grant.

        Raises StaleEpoch when another host has the tenant, NotFound without the bot.
        """
        async with tenant_tx(self._db, self._tenant_id) as tx:
            terms = await Ledger(tx).terms(self._tenant_id, chatbot_id)
        if terms.epoch != self._epoch:
            raise StaleEpoch
        if terms.budget is None:
            raise NotFound("There is no such chatbot.")
        self.follow(terms.plan)
        await self._begin_month()
        meter = TurnMeter(self.budget, self.plan, chatbot_id, table, price=price)
        meter.open(terms.budget)
        self.grants += 1
        return meter

    def spend(self, chatbot_id: ChatbotId, tokens: int, cost_micro: int, entry: str) -> None:
        """Count what no turn here used, and the ledger has; an `entry` counts once."""
        if entry in self._entries:
            return
        self._entries[entry] = None
        if len(self._entries) > ENTRIES:
            del self._entries[next(iter(self._entries))]
        self.budget.spend(chatbot_id, tokens, cost_micro)

    async def tell(self, meter: TurnMeter) -> None:
        """Write what there is to tell of limits, once what the meter's call used is counted."""
        notices = meter.notices()
        if not notices:
            return
        async with tenant_tx(self._db, self._tenant_id) as tx:
            for notice in notices:
                await BudgetNotices(tx).add(self._tenant_id, notice)
        self.budget.told |= {(one.chatbot_id, one.budget, one.level) for one in notices}

    async def _begin_month(self) -> None:
        if self.budget.outdated:
            async with tenant_tx(self._db, self._tenant_id) as tx:
                self.budget.restart(await Ledger(tx).month(self._tenant_id))
