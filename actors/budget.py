"""What a tenant may still spend: what the ledger has of the period, and what running calls may still use.

One object per tenant, in its one live actor: calls that run beside each other never pass a limit together, because each
reserves before it begins.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from domain.budget import (
    BudgetConfig,
    BudgetKind,
    BudgetLevel,
    BudgetNotice,
    MonthSpent,
    Spent,
    day_text,
    month_of,
    next_month,
)
from domain.ids import ChatbotId
from domain.plans import Plan

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
SOFT_PERCENT = 80
"""Of the plan's tokens."""


def _elapsed() -> float:
    """Seconds that go on while the machine sleeps and that nobody sets."""
    return time.clock_gettime(_CLOCK)


@dataclass(slots=True)
class Account:
    """Of one period; `held` is what running calls have reserved or used."""

    tokens: int = 0
    cost_micro: int = 0
    held_tokens: int = 0
    held_cost: int = 0

    def hold(self, tokens: int, cost: int) -> None:
        """Negative amounts are given back."""
        self.held_tokens += tokens
        self.held_cost += cost

    def spend(self, tokens: int, cost: int) -> None:
        self.tokens += tokens
        self.cost_micro += cost

    def begin(self, spent: Spent) -> None:
        """Another period; what is held is of this one."""
        self.tokens, self.cost_micro = spent.tokens, spent.cost_micro


@dataclass(frozen=True, slots=True)
class Limit:
    """Of an account, in tokens or in money."""

    account: Account
    kind: BudgetKind
    most: int
    sentence: str
    """What is said when it is reached."""
    soft: int
    """From here on the company is told."""
    chatbot_id: ChatbotId | None = None

    @property
    def taken(self) -> int:
        account = self.account
        if self.kind is BudgetKind.COST:
            return account.cost_micro + account.held_cost
        return account.tokens + account.held_tokens

    @property
    def left(self) -> int:
        return self.most - self.taken

    def notice(self, period: date, refused: bool) -> BudgetNotice | None:
        """What there is to tell, if anything."""
        if self.taken < self.soft and not refused:
            return None
        level = BudgetLevel.HARD if refused or self.left <= 0 else BudgetLevel.SOFT
        return BudgetNotice(self.chatbot_id, self.kind, level, period, self.most, self.taken)


@dataclass(slots=True)
class TenantBudget:
    """Of a calendar month, UTC. The month is the database's; from there on a clock counts that nobody sets."""

    spent: MonthSpent
    elapsed: Callable[[], float] = _elapsed
    total: Account = field(default_factory=Account)
    told: set[tuple[ChatbotId | None, BudgetKind, BudgetLevel]] = field(default_factory=set)
    """Notices of the month that are written."""
    _bots: dict[ChatbotId, Account] = field(default_factory=dict)
    _visitors: dict[UUID, Account] = field(default_factory=dict)
    _read_visitors: set[UUID] = field(default_factory=set)
    """Of whom the ledger was asked today."""
    _read_at: float = 0.0
    _day: date = date.min

    def __post_init__(self) -> None:
        self.restart(self.spent)

    @property
    def now(self) -> datetime:
        return self.spent.now + timedelta(seconds=self.elapsed() - self._read_at)

    @property
    def month(self) -> date:
        return month_of(self.spent.now)

    @property
    def outdated(self) -> bool:
        """Whether a new month has begun: count afresh."""
        return month_of(self.now) != self.month

    def restart(self, spent: MonthSpent) -> None:
        """Begin with what the ledger has; what runs stays reserved."""
        if not self._read_at or month_of(spent.now) != self.month:
            self.told.clear()
        self.spent, self._read_at = spent, self.elapsed()
        for account in self._bots.values():
            account.begin(Spent())
        for bot, amount in spent.bots.items():
            self._bot(bot).begin(amount)
        tokens = sum(amount.tokens for amount in spent.bots.values())
        self.total.begin(Spent(tokens, sum(amount.cost_micro for amount in spent.bots.values())))

    def allow(self, plan: Plan) -> None:
        """Raise QuotaExceeded when nothing is left of the plan."""
        plan.allow_tokens(self.total.tokens + self.total.held_tokens, 1)

    async def visitor(self, visitor_id: UUID, read: Callable[[], Awaitable[int]]) -> Account:
        """What a visitor used today; `read` is asked when it is not known."""
        day = self.now.date()
        if day != self._day:
            self._read_visitors.clear()
            self._visitors = {one: account for one, account in self._visitors.items() if account.held_tokens}
            self._day = day
        if visitor_id not in self._read_visitors:
            tokens = await read()
            if visitor_id not in self._read_visitors:
                self._visitors.setdefault(visitor_id, Account()).begin(Spent(tokens))
                self._read_visitors.add(visitor_id)
        return self._visitors[visitor_id]

    def spend(self, chatbot_id: ChatbotId, tokens: int, cost_micro: int) -> None:
        """Count what the ledger has from now on."""
        self.total.spend(tokens, cost_micro)
        self._bot(chatbot_id).spend(tokens, cost_micro)

    def accounts(self, chatbot_id: ChatbotId) -> tuple[Account, Account]:
        return self.total, self._bot(chatbot_id)

    def limits(
        self, plan: Plan, chatbot_id: ChatbotId, config: BudgetConfig, visitor: Account | None = None
    ) -> tuple[Limit, ...]:
        """Everything that a call of the bot must stay within; `visitor` is who asks, where that is limited."""
        bot, begins = self._bot(chatbot_id), day_text(next_month(self.month))
        most = plan.limits.max_tokens_per_month
        again = f"it begins anew on {begins} (UTC)."
        sentence = f"The {plan.name} plan allows {most:,} tokens per month; {again}"
        found = [Limit(self.total, BudgetKind.TOKENS, most, sentence, most * SOFT_PERCENT // 100)]
        mine = f"This chatbot's budget of the month is used up; {again}"
        for kind, limit in (
            (BudgetKind.TOKENS, config.monthly_tokens),
            (BudgetKind.COST, config.monthly_cost_micro),
        ):
            if limit is not None:
                found.append(Limit(bot, kind, limit, mine, limit * config.soft_percent // 100, chatbot_id))
        if visitor is not None and config.visitor_daily_tokens is not None:
            sentence = "You have asked all that one visitor may ask in a day; go on after midnight (UTC)."
            most = config.visitor_daily_tokens
            soft = most * config.soft_percent // 100
            found.append(Limit(visitor, BudgetKind.VISITOR_TOKENS, most, sentence, soft, chatbot_id))
        return tuple(found)

    def _bot(self, chatbot_id: ChatbotId) -> Account:
        return self._bots.setdefault(chatbot_id, Account())
