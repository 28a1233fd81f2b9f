"""Analytics per chatbot and day, without names and without words."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.errors import InvalidInput
from domain.ids import ChatbotId
from domain.permissions import Permission
from domain.pseudonyms import months_between, pads_of
from domain.tenancy import Principal
from storage.postgres.analytics import Analytics
from storage.postgres.database import tenant_tx

router = APIRouter(tags=["analytics"])

DAYS, MOST_DAYS = 30, 366


class DayModel(BaseModel):
    day: date
    chatbot_id: UUID
    sessions: int = Field(description="Begun on that day, UTC.")
    visitors: int = Field(description="Different ones who began a session.")
    turns: int
    completed: int
    stopped: int
    interrupted: int
    failed: int
    cached: int = Field(description="Answered with an answer that was kept from before; among those completed.")
    rated_up: int
    rated_down: int
    prompt_tokens: int
    completion_tokens: int


class AnalyticsModel(BaseModel):
    since: date
    until: date
    items: list[DayModel] = Field(description="Newest first; a day without anything is left out.")


def days_of(since: date | None, until: date | None) -> tuple[date, date]:
    """The first and the last day (UTC) of what was asked for. Raises InvalidInput."""
    last = until or datetime.now(UTC).date()
    try:
        first = since or last - timedelta(days=DAYS - 1)
    except OverflowError:
        raise InvalidInput("There are no such days.") from None
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        raise InvalidInput(f"`until` must not be before `since`, nor more than {MOST_DAYS} days after it.")
    if last.year > 9_000:
        raise InvalidInput("There are no such days.")
    return first, last


@router.get("/analytics")
async def get_analytics(
    services: Services,
    principal: Annotated[Principal, require(Permission.ANALYTICS_READ)],
    since: date | None = None,
    until: date | None = None,
    chatbot_id: UUID | None = None,
) -> AnalyticsModel:
    """The last thirty days, or up to a year from `since` to `until`; of what is still kept."""
    first, last = days_of(since, until)
    secret = services.settings.secret_key.get_secret_value()
    pads = {month: pads_of(secret, principal.tenant_id, month) for month in months_between(first, last)}
    bot = ChatbotId(chatbot_id) if chatbot_id else None
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        rows = await Analytics(tx).daily(principal.tenant_id, first, last, pads, bot)
    return AnalyticsModel(since=first, until=last, items=[DayModel(**row) for row in rows])
