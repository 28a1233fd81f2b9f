"""What a tenant's actor lets be used beside its turns: held while it is asked for, refused beyond it, and told of."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest

from actors.grants import Grants
from actors.tenant_actor import TenantActor
from domain.errors import NotFound, QuotaExceeded
from tests.fixtures.desk import TABLE, Desk
from tests.integration.test_metering import ask, bot_of, limited


def grants_of(desk: Desk, *actors: TenantActor) -> Grants:
    """Of a host whose tenant is each of the actors in turn, one after the other is forgotten."""
    waiting = list(actors)

    async def activate(tenant: object) -> TenantActor:
        return waiting[0]

    return Grants(activate, lambda tenant: waiting[0], lambda tenant: waiting.pop(0), TABLE)


async def held(grants: Grants, **payload: Any) -> tuple[AsyncGenerator[dict[str, Any], None], int]:
    stream = grants.grant(payload)
    return stream, (await anext(stream))["tokens"]


async def test_a_grant_is_held_as_long_as_its_stream_and_turns_respect_it(desk: Desk) -> None:
    actor = await desk.activate({"max_tokens_per_month": 1_000})
    grants, payload = grants_of(desk, actor), {"tenant_id": str(desk.tenant), "chatbot_id": await bot_of(desk)}
    stream, granted = await held(grants, **payload, tokens=900)
    assert granted == 900
    assert actor.busy
    with pytest.raises(QuotaExceeded):
        await held(grants, **payload, tokens=101)
    some, granted = await held(grants, **payload, tokens=500, at_least=10)
    assert granted == 100
    with pytest.raises(QuotaExceeded):
        await ask(actor, desk.session)
    await some.aclose()
    await stream.aclose()
    assert actor.allowance.grants == 0
    assert (await ask(actor, desk.session))[-1]["k"] == "done"


async def reached(desk: Desk) -> list[tuple[str, str | None]]:
    """The notices that were written: level and bot."""
    told = [row["payload"] for row in await desk.rows("outbox") if row["kind"] == "budget.reached"]
    return [(one["level"], one["chatbot_id"]) for one in told]


async def test_what_is_used_beside_turns_tells_of_limits_as_turns_do(desk: Desk) -> None:
    actor = await desk.activate()
    bot, _ = await limited(desk, monthly_tokens=1_000, soft_percent=50)
    grants, payload = grants_of(desk, actor), {"tenant_id": str(desk.tenant), "chatbot_id": str(bot)}

    async def use(tokens: int) -> None:
        stream, _ = await held(grants, **payload, tokens=tokens)
        async for _ in grants.spend({**payload, "entry": str(uuid4()), "tokens": tokens, "cost_micro": 0}):
            pass
        await stream.aclose()
        await grants.close()

    await use(400)
    assert await reached(desk) == []
    for _ in range(2):
        await use(100)
    assert await reached(desk) == [("soft", str(bot))]
    with pytest.raises(QuotaExceeded):
        await use(500)
    await grants.close()
    assert await reached(desk) == [("soft", str(bot)), ("hard", str(bot))]
    assert actor.allowance.budget.total.held_tokens == 0


async def test_a_host_that_lost_the_tenant_grants_nothing(desk: Desk) -> None:
    stale = await desk.activate()
    fresh = await desk.activate({"max_tokens_per_month": 50})
    payload = {"tenant_id": str(desk.tenant), "chatbot_id": await bot_of(desk)}
    with pytest.raises(QuotaExceeded):
        await held(grants_of(desk, stale, fresh), **payload, tokens=51)
    with pytest.raises(NotFound):
        await held(grants_of(desk, fresh), tenant_id=str(desk.tenant), chatbot_id=str(uuid4()), tokens=1)


async def test_a_grant_that_waits_does_not_outlive_its_caller(desk: Desk) -> None:
    actor = await desk.activate({"max_tokens_per_month": 1_000})
    grants, payload = grants_of(desk, actor), {"tenant_id": str(desk.tenant), "chatbot_id": await bot_of(desk)}
    began = asyncio.Event()

    async def hold() -> None:
        async with aclosing(grants.grant({**payload, "tokens": 1_000})) as items:
            async for _ in items:
                began.set()

    task = asyncio.create_task(hold())
    await began.wait()
    assert actor.allowance.budget.total.held_tokens == 1_000
    task.cancel()
    await asyncio.wait([task])
    assert actor.allowance.budget.total.held_tokens == 0
