"""Plans, the subscription, invoices, and Stripe's webhook."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from billing.signature import MAX_BYTES
from billing.subscriptions import Billing
from configs.tables import load_plans
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import PUBLIC, require
from deployments.gateway.services import Services
from domain.errors import AppError, TooLarge
from domain.permissions import Permission
from domain.plans import Plan
from domain.tenancy import Principal

log = structlog.get_logger(__name__)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    billing: Billing | None = getattr(app.state, "billing", None)
    if billing is not None:
        await billing.close()


router = APIRouter(tags=["billing"], lifespan=_lifespan)


async def billing_of(request: Request, services: Services) -> Billing:
    """One per process, made with the first request; a coroutine, so that it runs on the event loop."""
    state = request.app.state
    if not hasattr(state, "billing"):
        state.billing = Billing.open(services.db, services.settings)
    billing: Billing = state.billing
    return billing


CurrentBilling = Annotated[Billing, Depends(billing_of)]
Reader = Annotated[Principal, require(Permission.BILLING_READ)]
Payer = Annotated[Principal, require(Permission.BILLING_MANAGE)]


class PlanList(BaseModel):
    items: list[Plan]


class SubscriptionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$", description="A key of `GET /plans`.")
    payment_method: str | None = Field(
        None,
        pattern=r"^pm_[A-Za-z0-9_]{1,200}$",
        description="A payment method made with Stripe.js; without it the answer may hold a `client_secret`.",
    )


class SubscriptionModel(BaseModel):
    id: str | None
    plan: str
    status: str
    current_period_end: datetime | None
    client_secret: str | None = None


class InvoiceModel(BaseModel):
    id: str
    number: str | None
    status: str
    currency: str
    amount_due: int = Field(description="In the currency's smallest unit.")
    amount_paid: int
    hosted_url: str | None
    created_at: datetime


class InvoiceList(BaseModel):
    items: list[InvoiceModel]


@router.get("/plans", openapi_extra=PUBLIC)
async def list_plans() -> PlanList:
    """The price list; no log-in needed."""
    return PlanList(items=list(load_plans().values()))


@router.post("/subscriptions", status_code=201)
async def subscribe(
    body: SubscriptionRequest, principal: Payer, billing: CurrentBilling, origin: CurrentOrigin
) -> SubscriptionModel:
    """Begin, change or (with the free plan) end the subscription."""
    state = await billing.subscribe(principal.tenant_id, body.plan, body.payment_method, origin)
    return SubscriptionModel(**asdict(state))


@router.get("/subscriptions")
async def current_subscription(principal: Reader, billing: CurrentBilling) -> SubscriptionModel:
    return SubscriptionModel(**asdict(await billing.current(principal.tenant_id)))


@router.get("/billing/history")
async def billing_history(principal: Reader, billing: CurrentBilling) -> InvoiceList:
    """The newest hundred invoices, newest first."""
    rows = await billing.history(principal.tenant_id)
    return InvoiceList(items=[InvoiceModel(**asdict(row)) for row in rows])


@router.post("/webhooks/stripe", openapi_extra=PUBLIC)
async def receive_webhook(
    request: Request,
    billing: CurrentBilling,
    background: BackgroundTasks,
    stripe_signature: Annotated[str | None, Header(max_length=4096)] = None,
) -> dict[str, Any]:
    """Stripe's events: stored under their id first, acted on afterwards."""
    new = await billing.receive(await _read(request), stripe_signature)
    background.add_task(_work, billing)
    return {"received": True, "duplicate": not new}


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise TooLarge("The event is larger than 256 KiB.")
    return bytes(body)


async def _work(billing: Billing) -> None:
    try:
        await billing.work_inbox()
    except AppError as error:
        # The relay works the inbox too: the event only waits a little longer.
        log.warning("inbox_not_worked", code=error.code)
