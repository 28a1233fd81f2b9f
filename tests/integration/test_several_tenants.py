"""One person in several companies: founded, listed, switched between, each with sessions of its own."""

from uuid import uuid4

import pytest

from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant
from tests.integration.test_members import actions, id_of


async def found(owner: Tenant, company: str) -> Tenant:
    answer = await owner.post("/tenants", json={"company": company})
    assert answer.status_code == 201, answer.text
    return Tenant(owner.http, answer.json(), owner.email)


async def test_another_company_is_founded_listed_and_switched_to(rig: GatewayRig) -> None:
    first = await rig.register()
    second = await found(first, "Second & Sons")
    assert second.grant["tenant"]["name"] == "Second & Sons"
    assert second.grant["user"] == first.grant["user"]
    for here, current in ((first, 0), (second, 1)):
        items = (await here.get("/me/tenants")).json()["items"]
        assert [item["tenant"]["name"] for item in items] == ["Example Ltd", "Second & Sons"]
        assert [item["current"] for item in items] == [current == 0, current == 1]
        assert {item["role"] for item in items} == {"owner"}
    back = await second.post("/auth/switch", json={"tenant_id": first.grant["tenant"]["id"]})
    assert back.status_code == 200
    assert back.json()["tenant"] == first.grant["tenant"]
    (event,) = [event for event in await actions(first, "user.login") if event["details"].get("switched")]
    assert event["actor_id"] == id_of(first)
    assert len(await actions(second, "tenant.register")) == 1


async def test_companies_of_one_person_see_nothing_of_each_other(rig: GatewayRig) -> None:
    first = await rig.register()
    second = await found(first, "Second")
    bot = await first.new_bot()
    assert (await second.get("/chatbots")).json()["items"] == []
    assert (await second.get(f"/chatbots/{bot}")).status_code == 404
    assert (await second.post(f"/chatbots/{bot}/sessions")).status_code == 404


async def test_each_company_has_sessions_of_its_own(rig: GatewayRig) -> None:
    first = await rig.register()
    switched = (await first.post("/auth/switch", json={"tenant_id": first.grant["tenant"]["id"]})).json()
    await rig.http.post("/auth/logout", json={"refresh_token": switched["refresh_token"]})
    assert (await rig.http.post("/auth/refresh", json={"refresh_token": switched["refresh_token"]})).status_code == 401
    kept = await rig.http.post("/auth/refresh", json={"refresh_token": first.grant["refresh_token"]})
    assert kept.status_code == 200
    assert kept.json()["tenant"] == first.grant["tenant"]


async def test_log_in_opens_the_oldest_company(rig: GatewayRig) -> None:
    first = await rig.register()
    await found(first, "Second")
    answer = await rig.http.post("/auth/login", json={"email": first.email, "password": PASSWORD})
    assert answer.json()["tenant"] == first.grant["tenant"]


async def test_nobody_switches_to_where_they_do_not_belong(rig: GatewayRig) -> None:
    first, stranger = await rig.register(), await rig.register()
    for tenant in (stranger.grant["tenant"]["id"], str(uuid4())):
        assert (await first.post("/auth/switch", json={"tenant_id": tenant})).status_code == 404
    assert (await first.post("/auth/switch", json={"tenant_id": "x"})).status_code == 422
    assert (await rig.http.post("/auth/switch", json={"tenant_id": first.grant["tenant"]["id"]})).status_code == 401


@pytest.mark.parametrize("company", ["", "   ", "x" * 201, "x" * 10_000, "a\x00b", 7, None])
async def test_a_company_has_a_name(rig: GatewayRig, company: object) -> None:
    assert (await (await rig.register()).post("/tenants", json={"company": company})).status_code == 422


async def test_a_repeated_key_does_not_keep_tokens(rig: GatewayRig) -> None:
    first = await rig.register()
    headers = {"Idempotency-Key": "found-once"}
    answers = [await first.post("/tenants", json={"company": "Second"}, headers=headers) for _ in range(2)]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, None]
