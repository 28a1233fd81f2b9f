"""Accounts over HTTP: registration, log-in, tokens that rotate, and the limits against guessing."""

import asyncio
import json

import httpx
import pytest

from configs.settings import DEMO_EMAIL
from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from storage.postgres.accounts import Accounts
from storage.postgres.database import system_tx
from tests.fixtures.gateway import PASSWORD, GatewayRig


async def test_registering_makes_a_tenant_with_its_owner(rig: GatewayRig) -> None:
    tenant = await rig.register()
    assert tenant.grant["token_type"] == "bearer"
    assert tenant.grant["expires_in"] == 900
    me = (await tenant.get("/me")).json()
    assert me["user"] == {"id": tenant.grant["user"]["id"], "email": tenant.email}
    assert me["tenant"] == {"id": tenant.grant["tenant"]["id"], "name": "Example Ltd", "plan": "free"}
    assert me["role"] == "owner"


async def test_an_email_address_has_one_account_whatever_its_case(rig: GatewayRig) -> None:
    tenant = await rig.register()
    body = {"email": tenant.email.upper(), "password": PASSWORD, "company": "Other"}
    answer = await rig.http.post("/auth/register", json=body)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "already_exists"


async def test_logging_in_takes_the_right_password_only(rig: GatewayRig) -> None:
    tenant = await rig.register()
    good = await rig.http.post("/auth/login", json={"email": tenant.email.upper(), "password": PASSWORD})
    assert good.status_code == 200
    assert good.json()["tenant"] == tenant.grant["tenant"]
    wrong = await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD + "!"})
    unknown = await rig.http.post("/auth/login", json={"email": "nobody@example.com", "password": PASSWORD})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json()["error"]["message"] == unknown.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", "a@localhost"),
        ("email", "a" * 300 + "@example.com"),
        ("password", "short"),
        ("password", "x" * 129),
        ("password", "with\x00nul-inside"),
        ("company", "   "),
        ("company", "\ud800"),
        ("company", 7),
        ("surprise", "field"),
    ],
)
async def test_bad_registrations_say_which_field(rig: GatewayRig, field: str, value: object) -> None:
    body = {"email": "new@example.com", "password": PASSWORD, "company": "Example", field: value}
    answer = await rig.http.post(
        "/auth/register", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_input"
    assert field in error["message"]


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_family(rig: GatewayRig) -> None:
    tenant = await rig.register()
    first = {"refresh_token": tenant.grant["refresh_token"]}
    second = await rig.http.post("/auth/refresh", json=first)
    assert second.status_code == 200
    assert second.json()["user"] == tenant.grant["user"]
    reused = await rig.http.post("/auth/refresh", json=first)
    assert reused.status_code == 401
    descendant = await rig.http.post("/auth/refresh", json={"refresh_token": second.json()["refresh_token"]})
    assert descendant.status_code == 401


async def test_only_one_of_two_refreshes_at_once_succeeds(rig: GatewayRig) -> None:
    tenant = await rig.register()
    body = {"refresh_token": tenant.grant["refresh_token"]}
    answers = await asyncio.gather(*(rig.http.post("/auth/refresh", json=body) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]


async def test_logging_out_ends_the_session_and_an_unknown_token_is_fine(rig: GatewayRig) -> None:
    tenant = await rig.register()
    body = {"refresh_token": tenant.grant["refresh_token"]}
    assert (await rig.http.post("/auth/logout", json=body)).status_code == 204
    assert (await rig.http.post("/auth/logout", json={"refresh_token": "unknown"})).status_code == 204
    assert (await rig.http.post("/auth/refresh", json=body)).status_code == 401


async def test_refresh_tokens_are_stored_as_hashes(rig: GatewayRig) -> None:
    tenant = await rig.register()
    async with system_tx(rig.services.db) as tx:
        rows = await (await tx.execute("select token_hash from refresh_tokens")).fetchall()
    assert tenant.grant["refresh_token"].encode() not in {bytes(row["token_hash"]) for row in rows}


async def test_guessing_is_slowed_down(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"email": "victim@example.com", "password": "guess"}
    monkeypatch.setitem(RULES, Kind.ACCOUNT, Rule({"address+account": Rate(3, 0.001)}, closed=True))
    tenant = await rig.register()
    body = {"email": tenant.email, "password": "guess"}
    answers = [await rig.http.post("/auth/login", json=body) for _ in range(4)]
    # The first of the four was the registration.
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 1_000
    upper = {**body, "email": tenant.email.upper()}
    assert (await rig.http.post("/auth/login", json=upper)).status_code == 429
    other = {**body, "email": f"other-{tenant.email}"}
    assert (await rig.http.post("/auth/login", json=other)).status_code == 401
    transport = httpx.ASGITransport(rig.app, client=("203.0.113.8", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as owner:
        # A stranger's guesses do not lock the owner out.
        good = {"email": tenant.email, "password": PASSWORD}
        assert (await owner.post("/auth/login", json=good)).status_code == 200


async def test_the_demo_opens_only_where_it_is_seeded(rig: GatewayRig) -> None:
    async with system_tx(rig.services.db) as tx:
        await tx.execute("delete from users where email = %s", [DEMO_EMAIL])
    assert (await rig.http.post("/auth/demo")).status_code == 404
    async with system_tx(rig.services.db) as tx:
        await Accounts(tx).create(DEMO_EMAIL, await rig.services.passwords.hash(PASSWORD), "Demo")
    answer = await rig.http.post("/auth/demo")
    assert answer.status_code == 200
    assert answer.json()["user"]["email"] == DEMO_EMAIL
    login = await rig.http.post("/auth/login", json={"email": DEMO_EMAIL, "password": PASSWORD})
    assert login.status_code == 200
