"""Webhooks: signed, stored once, applied in any order, tried again."""

import asyncio
import socket
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from billing.account import StripeAccount
from billing.subscriptions import Billing
from cluster.embedded import EmbeddedStripe
from configs.settings import Settings
from storage.postgres.accounts import Account
from storage.postgres.audit import Audit
from storage.postgres.database import Database, system_tx, tenant_tx
from tests.fixtures.stripe_double import WEBHOOK_SECRET, signed
from tests.integration.billing.questions import (
    GOOD,
    customer_of,
    event,
    events_of,
    inbox_row,
    invoices_of,
    plan_key,
    send,
)


async def test_webhook_is_stored_once_and_only_when_signed(api: httpx.AsyncClient, db: Database) -> None:
    sent = event("invoice.paid", {"id": "in_unknown", "customer": "cus_unknown"})
    forged = await api.post(
        "/webhooks/stripe",
        content=signed(sent, secret="x")[0],
        headers={"Stripe-Signature": signed(sent, secret="x")[1]},
    )
    assert (forged.status_code, forged.json()["error"]["code"]) == (400, "invalid_input")
    assert (await api.post("/webhooks/stripe", content=b"{}")).status_code == 400
    assert (await api.post("/webhooks/stripe", content=b" " * 300_000)).status_code == 413
    assert await inbox_row(db, sent["id"]) is None

    assert (await send(api, sent)).json() == {"received": True, "duplicate": False}
    assert (await send(api, sent)).json() == {"received": True, "duplicate": True}
    row = await inbox_row(db, sent["id"])
    assert row is not None
    assert (row["kind"], row["attempts"], row["error"]) == ("invoice.paid", 1, None)
    assert row["processed_at"] is not None


async def test_webhooks_of_the_double_itself_arrive(
    gateway: FastAPI, api: httpx.AsyncClient, db: Database, owner: Account, settings: Settings, tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(gateway, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/stripe"
        double = EmbeddedStripe(tmp_path / "stripe", webhook_url=target, webhook_secret=WEBHOOK_SECRET)
        running = await asyncio.to_thread(double.open)
        try:
            gateway.state.services.settings = settings.model_copy(update={"stripe_base_url": running.url})
            begun = (await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})).json()
            assert begun["status"] == "active"
            async with asyncio.timeout(20):
                while not await invoices_of(db, owner.tenant.id):
                    await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(double.close)
            server.should_exit = True
            await serving
    assert [(row.amount_paid, row.status) for row in await invoices_of(db, owner.tenant.id)] == [(4900, "paid")]


async def test_webhooks_in_the_wrong_order_end_in_the_present_state(
    api: httpx.AsyncClient, db: Database, owner: Account, stripe_account: StripeAccount
) -> None:
    begun = (await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})).json()
    present = await stripe_account.find_subscription(begun["id"])
    assert present is not None
    await stripe_account.cancel_subscription(begun["id"])
    assert await plan_key(db, owner.tenant.id) == "pro"
    await send(api, event("customer.subscription.deleted", present | {"status": "canceled"}))
    assert await plan_key(db, owner.tenant.id) == "free"
    # A late `created`, which still says active, must not bring the plan back.
    await send(api, event("customer.subscription.created", present))
    await send(api, event("customer.subscription.updated", present))
    assert await plan_key(db, owner.tenant.id) == "free"
    assert [told["plan"] for told in await events_of(db, owner.tenant.id)] == ["pro", "free"]
    async with tenant_tx(db, owner.tenant.id) as tx:
        log = [event async for event in Audit(tx).whole(owner.tenant.id)]
    assert [(event.action, event.actor_kind) for event in log] == [("plan.checkout", "user"), ("plan.change", "stripe")]
    assert (log[0].actor_id, log[0].details) == (str(owner.user.id), {"plan": "pro", "status": "active"})
    cause = "customer.subscription.deleted"
    assert log[1].details == {"plan": "free", "before": "pro", "cause": cause}


async def test_failed_event_is_kept_and_comes_again(
    api: httpx.AsyncClient, db: Database, owner: Account, billing: Billing
) -> None:
    begun = (await api.post("/subscriptions", json={"plan": "pro", "payment_method": GOOD})).json()
    customer_id = await customer_of(db, owner.tenant.id)
    sent = event("customer.subscription.updated", {"id": begun["id"], "customer": customer_id})
    unreachable = Billing.open(
        db, Settings(stripe_base_url="http://127.0.0.1:9", stripe_webhook_secret=SecretStr(WEBHOOK_SECRET))
    )
    await unreachable.receive(*signed(sent))
    assert await unreachable.work_inbox() == 0
    await unreachable.close()
    kept = await inbox_row(db, sent["id"])
    assert kept is not None
    assert (kept["attempts"], kept["processed_at"]) == (1, None)
    assert kept["error"].startswith("Unavailable: ")
    # Not due yet; five seconds after its arrival it is.
    assert await billing.work_inbox() == 0
    async with system_tx(db) as tx:
        await tx.execute(
            "update webhook_inbox set received_at = received_at - interval '6 seconds' where id = %s", (sent["id"],)
        )
    assert await billing.work_inbox() == 1
    done = await inbox_row(db, sent["id"])
    assert done is not None
    assert done["error"] is None
    assert done["processed_at"] is not None


async def test_two_workers_share_the_inbox(db: Database, billing: Billing, settings: Settings) -> None:
    other = Billing.open(db, settings)
    for number in range(12):
        await billing.receive(*signed(event("invoice.paid", {"id": f"in_{number}", "customer": "cus_unknown"})))
    assert sum(await asyncio.gather(billing.work_inbox(), other.work_inbox())) == 12
    assert await billing.work_inbox() == 0
    await other.close()
