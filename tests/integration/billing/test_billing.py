"""Subscriptions and invoices through the HTTP routes."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from billing.account import StripeAccount
from billing.entitlements import locked_plan_of, plan_of
from billing.subscriptions import Billing
from configs.settings import Settings
from domain.audit import ActorKind, Origin
from domain.errors import AppError
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Database, system_tx, tenant_tx
from tests.fixtures.stripe_double import WEBHOOK_SECRET
from tests.integration.billing.questions import (
    DECLINED,
    FAILS_LATER,
    GOOD,
    customer_of,
    events_of,
    plan_key,
)


async def test_price_list_needs_no_login(api: httpx.AsyncClient) -> None:
    plans = (await api.get("/plans")).json()["items"]
    assert [plan["key"] for plan in plans] == ["free", "pro", "business"]
    assert plans[0]["limits"]["max_chatbots"] == 3


async def test_up_down_and_back_to_free(api: httpx.AsyncClient, db: Database, owner: Account) -> None:
    tenant = owner.tenant.id
    assert (await api.get("/subscriptions")).json() == {
        "id": None, "plan": "free", "status": "active", "current_period_end": None, "client_secret": None,
    }  # fmt: skip
    assert (await api.get("/billing/history")).json() == {"items": []}

    begun = await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})
    assert begun.status_code == 201
    assert begun.json()["id"].startswith("sub_")
    assert (begun.json()["plan"], begun.json()["status"]) == ("pro", "active")
    assert begun.json()["current_period_end"] is not None
    assert await plan_key(db, tenant) == "pro"

    again = await api.post("/subscriptions", json={"plan": "pro"})
    assert again.json() == begun.json()

    raised = await api.post("/subscriptions", json={"plan": "business"})
    assert (raised.json()["id"], raised.json()["plan"]) == (begun.json()["id"], "business")
    assert await plan_key(db, tenant) == "business"

    lowered = await api.post("/subscriptions", json={"plan": "pro"})
    assert (lowered.json()["id"], lowered.json()["plan"]) == (begun.json()["id"], "pro")
    assert await plan_key(db, tenant) == "pro"

    ended = await api.post("/subscriptions", json={"plan": "free"})
    assert (ended.status_code, ended.json()["plan"], ended.json()["id"]) == (201, "free", None)
    assert await plan_key(db, tenant) == "free"
    assert [told["plan"] for told in await events_of(db, tenant)] == ["pro", "business", "pro", "free"]

    anew = await api.post("/subscriptions", json={"plan": "pro"})
    assert anew.json()["status"] == "active"
    assert anew.json()["id"] != begun.json()["id"]


async def test_history_is_right_without_a_single_webhook(api: httpx.AsyncClient) -> None:
    await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})
    await api.post("/subscriptions", json={"plan": "business"})
    items = (await api.get("/billing/history")).json()["items"]
    assert sorted(item["amount_due"] for item in items) == [4900, 35000]
    assert {(item["status"], item["currency"]) for item in items} == {("paid", "usd")}
    assert all(item["amount_paid"] == item["amount_due"] for item in items)


async def test_declined_card_buys_nothing(api: httpx.AsyncClient, db: Database, owner: Account) -> None:
    refused = await api.post("/subscriptions", json={"plan": "pro", "payment_method": DECLINED})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "payment_required")
    assert refused.json()["error"]["message"] == "The card was declined."
    assert await plan_key(db, owner.tenant.id) == "free"
    assert await events_of(db, owner.tenant.id) == []


async def test_unpaid_subscription_gives_no_plan_and_is_replaced(
    api: httpx.AsyncClient, db: Database, owner: Account
) -> None:
    first = (await api.post("/subscriptions", json={"plan": "pro", "payment_method": FAILS_LATER})).json()
    assert first["status"] == "incomplete"
    assert first["client_secret"].startswith("pi_")
    assert await plan_key(db, owner.tenant.id) == "free"
    second = (await api.post("/subscriptions", json={"plan": "business", "payment_method": GOOD})).json()
    assert (second["status"], second["plan"]) == ("active", "business")
    assert second["id"] != first["id"]
    assert await plan_key(db, owner.tenant.id) == "business"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"plan": "pro"}, 402),
        ({"plan": "platinum", "payment_method": GOOD}, 400),
        ({"plan": "pro", "payment_method": "pm_unknown"}, 400),
        ({"plan": "pro", "payment_method": "../../v1/charges"}, 422),
        ({"plan": "pro", "payment_method": 7}, 422),
        ({"plan": ""}, 422),
        ({}, 422),
        ({"plan": "pro", "price": 0}, 422),
    ],
)
async def test_bad_requests_change_nothing(
    api: httpx.AsyncClient, db: Database, owner: Account, body: dict[str, Any], status: int
) -> None:
    assert (await api.post("/subscriptions", json=body)).status_code == status
    assert await plan_key(db, owner.tenant.id) == "free"


async def test_editors_do_not_spend_money(api: httpx.AsyncClient) -> None:
    as_editor = {"X-Role": "editor"}
    refused = await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD}, headers=as_editor)
    assert refused.status_code == 403
    assert (await api.get("/billing/history", headers=as_editor)).status_code == 403
    assert (await api.get("/subscriptions", headers=as_editor)).status_code == 403
    assert (await api.get("/subscriptions", headers={"X-Role": "billing"})).status_code == 200


async def test_two_changes_at_once_make_one_subscription(
    api: httpx.AsyncClient, db: Database, owner: Account, stripe_account: StripeAccount
) -> None:
    body = {"plan": "pro", "payment_method": GOOD}
    answers = await asyncio.gather(*(api.post("/subscriptions", json=body) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}
    assert len(await stripe_account.list_subscriptions(await customer_of(db, owner.tenant.id))) == 1


async def test_stripe_out_of_reach_is_a_sentence(db: Database, owner: Account) -> None:
    settings = Settings(stripe_base_url="http://127.0.0.1:9", stripe_webhook_secret=SecretStr(WEBHOOK_SECRET))
    for nowhere in (settings, Settings(stripe_base_url=None)):
        billing = Billing.open(db, nowhere)
        with pytest.raises(AppError) as refused:
            await billing.subscribe(owner.tenant.id, "pro", GOOD, Origin(ActorKind.ANONYMOUS))
        assert refused.value.status == 503
        assert "127.0.0.1" not in refused.value.message
        assert (await billing.current(owner.tenant.id)).plan == "free"
        assert await billing.history(owner.tenant.id) == []
        await billing.close()


async def test_customer_that_stripe_lost_is_made_again(api: httpx.AsyncClient, db: Database, owner: Account) -> None:
    first = (await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})).json()
    async with system_tx(db) as tx:
        await tx.execute("update tenants set stripe_customer_id = 'cus_gone' where id = %s", (owner.tenant.id,))
    lost = await api.post("/subscriptions", json={"plan": "business"})
    assert lost.status_code == 402
    second = (await api.post("/subscriptions", json={"plan": "business", "payment_method": GOOD})).json()
    assert second["status"] == "active"
    assert second["id"] != first["id"]
    assert await plan_key(db, owner.tenant.id) == "business"


async def test_one_at_a_time_passes_the_locked_plan(db: Database, owner: Account) -> None:
    tenant = owner.tenant.id
    async with tenant_tx(db, tenant) as tx:
        assert (await locked_plan_of(tx, tenant)).key == "free"
        async with tenant_tx(db, tenant) as other:
            await other.execute("set local lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                async with other.transaction():
                    await locked_plan_of(other, tenant)
            # Readers, and rows that refer to the tenant, are not held up.
            assert (await plan_of(other, tenant)).key == "free"
            await other.execute("insert into chatbots (tenant_id, id, name) values (%s, %s, 'bot')", (tenant, uuid4()))


async def test_other_tenants_see_nothing(api: httpx.AsyncClient, db: Database, billing: Billing) -> None:
    await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})
    await api.get("/billing/history")
    async with system_tx(db) as tx:
        stranger = await Accounts(tx).create(f"{uuid4()}@example.com", "hash", "Stranger Ltd")
    assert (await billing.current(stranger.tenant.id)).plan == "free"
    assert await billing.history(stranger.tenant.id) == []
