"""What was used and what it cost, by day, chatbot and use: the ledger, summed."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from deployments.gateway.analytics_routes import days_of
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.ids import ChatbotId
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.postgres.database import tenant_tx
from storage.postgres.ledger import Ledger

router = APIRouter(tags=["billing"])


class UseModel(BaseModel):
    day: date
    chatbot_id: UUID
    use: str = Field(description="`turn`, `failed_turn`, `evaluation`, `embedding`, `summary`, `guard`, `ingestion`.")
    kind: str = Field(description="Of the calls: `answer`, `retry`, `hedge`, `embedding`, `rewrite`, `cache` …")
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = Field(description="Of the prompt tokens: those that the engine had from before.")
    embedded_tokens: int
    cost_micro: int = Field(description="In millionths of the currency unit.")


class UsedModel(BaseModel):
    since: date
    until: date
    tokens: int = Field(description="All that count against a budget.")
    cost_micro: int
    items: list[UseModel] = Field(description="Newest first.")


@router.get("/usage")
async def get_usage(
    services: Services,
    principal: Annotated[Principal, require(Permission.BILLING_READ)],
    since: date | None = None,
    until: date | None = None,
    chatbot_id: UUID | None = None,
) -> UsedModel:
    """The last thirty days, or up to a year from `since` to `until`."""
    first, last = days_of(since, until)
    bot = ChatbotId(chatbot_id) if chatbot_id else None
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        items = [UseModel(**row) for row in await Ledger(tx).used(principal.tenant_id, first, last, bot)]
    tokens = sum(item.prompt_tokens + item.completion_tokens + item.embedded_tokens for item in items)
    return UsedModel(
        since=first, until=last, tokens=tokens, cost_micro=sum(item.cost_micro for item in items), items=items
    )
