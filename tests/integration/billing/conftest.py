"""The billing routes over a real PostgreSQL and the Stripe double."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from starlette.requests import Request

from billing.account import StripeAccount
from billing.subscriptions import Billing
from cluster.embedded import Running
from configs.settings import Settings
from deployments.gateway.billing_routes import router
from deployments.gateway.origin import client_address
from deployments.gateway.principal import current_caller, request_id_of
from domain.errors import AppError
from domain.tenancy import Principal, Role
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Database, system_tx
from storage.postgres.migrator import migrate, role_urls
from tests.fixtures.database import DATABASE_SECRET
from tests.fixtures.stripe_double import WEBHOOK_SECRET


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url, DATABASE_SECRET)
    database = await Database.open(*role_urls(postgres_url, DATABASE_SECRET))
    async with system_tx(database) as tx:
        await tx.execute("delete from webhook_inbox")
    yield database
    await database.close()


@pytest.fixture
def settings(stripe_double: Running) -> Settings:
    return Settings(stripe_base_url=stripe_double.url, stripe_webhook_secret=SecretStr(WEBHOOK_SECRET))


@pytest.fixture
async def owner(db: Database) -> Account:
    async with system_tx(db) as tx:
        return await Accounts(tx).create(f"{uuid4()}@example.com", "hash", "Example Ltd")


@pytest.fixture
async def billing(db: Database, settings: Settings) -> AsyncIterator[Billing]:
    opened = Billing.open(db, settings)
    yield opened
    await opened.close()


@pytest.fixture
async def stripe_account(settings: Settings) -> AsyncIterator[StripeAccount]:
    account = StripeAccount.open(settings)
    yield account
    await account.close()


@pytest.fixture
async def gateway(db: Database, settings: Settings, owner: Account) -> AsyncIterator[FastAPI]:
    """The billing routes, signed in as the owner unless `X-Role` says otherwise."""
    app = FastAPI()
    app.include_router(router)
    app.state.services = SimpleNamespace(db=db, settings=settings)

    async def principal(request: Request) -> Principal:
        return Principal(owner.tenant.id, owner.user.id, Role(request.headers.get("x-role", Role.OWNER)))

    async def answer(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AppError)
        return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status)

    async def request_id() -> str:
        return "request-1"

    async def address() -> str:
        return "203.0.113.7"

    app.dependency_overrides[client_address] = address
    app.dependency_overrides[current_caller] = principal
    app.dependency_overrides[request_id_of] = request_id
    app.add_exception_handler(AppError, answer)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def api(gateway: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://gateway") as client:
        yield client
