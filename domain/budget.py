"""What a chatbot may spend, and what a month's or a day's spending is."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.ids import ChatbotId


class BudgetConfig(BaseModel):
    """Limits of one chatbot beside those of the company's plan; null is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    monthly_tokens: int | None = Field(None, ge=1, le=10**12, description="Of a calendar month, UTC.")
    monthly_cost_micro: int | None = Field(
        None, ge=1, le=10**15, description="Of a calendar month, UTC, in millionths of the currency unit."
    )
    visitor_daily_tokens: int | None = Field(None, ge=1, le=10**12, description="Of one visitor and day, UTC.")
    soft_percent: int = Field(80, ge=1, le=100, description="From here on the company is told, once a month.")


class BudgetKind(StrEnum):
    TOKENS = "tokens"
    COST = "cost"
    VISITOR_TOKENS = "visitor_tokens"
    """Of one visitor and day; it is told of once a month, whoever reaches it."""


class BudgetLevel(StrEnum):
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class BudgetNotice:
    """A threshold that was reached."""

    chatbot_id: ChatbotId | None
    """None is the company's plan."""
    budget: BudgetKind
    level: BudgetLevel
    period: date
    """Its first day."""
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Spent:
    tokens: int = 0
    cost_micro: int = 0


@dataclass(frozen=True, slots=True)
class MonthSpent:
    """What the ledger has of a tenant's month."""

    now: datetime
    """By the clock of the database, with a time zone."""
    bots: dict[ChatbotId, Spent] = field(default_factory=dict)


def month_of(moment: datetime) -> date:
    """The first day of its month, UTC."""
    return moment.astimezone(UTC).date().replace(day=1)


def next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def day_text(day: date) -> str:
    """As sentences say it: `1 December`."""
    return f"{day.day} {day:%B}"
