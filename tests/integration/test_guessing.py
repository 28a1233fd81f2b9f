"""Guesses at a password from many addresses are stopped, and the owner still signs in where they did before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from deployments.gateway.device_cookie import COOKIE
from deployments.gateway.rate_limits import RULES, Kind, Rate, Rule
from tests.fixtures.gateway import PASSWORD, GatewayRig


@pytest.fixture(autouse=True)
def few_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, Kind.ACCOUNT, Rule({"address+account": Rate(3, 0.001)}, closed=True))
    rule = Rule({"account": Rate(8, 0.001), "device": Rate(3, 0.001)}, closed=True)
    monkeypatch.setitem(RULES, Kind.GUESS, rule)


@asynccontextmanager
async def at(rig: GatewayRig, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody at a network address, with cookies of their own."""
    transport = httpx.ASGITransport(rig.app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        yield http


async def guess(rig: GatewayRig, email: str, address: str, password: str = "guess") -> int:
    async with at(rig, address) as http:
        return (await http.post("/auth/login", json={"email": email, "password": password})).status_code


async def swarm(rig: GatewayRig, email: str, network: str) -> list[int]:
    """One guess from each of twenty addresses."""
    return [await guess(rig, email, f"{network}.{number}") for number in range(1, 21)]


async def test_a_guess_from_everywhere_is_stopped_and_the_owner_signs_in(rig: GatewayRig) -> None:
    tenant = await rig.register()
    good = {"email": tenant.email, "password": PASSWORD}
    async with at(rig, "198.51.100.1") as device:
        assert (await device.post("/auth/login", json=good)).status_code == 200
        assert COOKIE in device.cookies
        found = await swarm(rig, tenant.email, "192.0.2")
        assert found[:7] == [401] * 7  # the owner's log-in from a new address was the first
        assert set(found[8:]) == {429}
        # Also the right password, from an address that nobody knows; in other letters too.
        assert await guess(rig, tenant.email.upper(), "192.0.2.99", PASSWORD) == 429
        # The address of an earlier sign-in.
        assert await guess(rig, tenant.email, "203.0.113.7", PASSWORD) == 200
        cookie = device.cookies[COOKIE]
    # The device, wherever it is now.
    async with at(rig, "198.51.100.77") as moved:
        moved.cookies.set(COOKIE, cookie)
        assert (await moved.post("/auth/login", json=good)).status_code == 200


async def test_who_has_no_account_is_counted_alike(rig: GatewayRig) -> None:
    found = await swarm(rig, f"nobody-{id(rig)}@example.com", "192.0.2")
    assert found == [401] * 8 + [429] * 12


async def test_a_cookie_lets_its_owner_through_and_nobody_else(rig: GatewayRig) -> None:
    tenant, other = await rig.register(), await rig.register()
    async with at(rig, "198.51.100.1") as http:
        good = {"email": other.email, "password": PASSWORD}
        set_cookie = (await http.post("/auth/login", json=good)).headers["set-cookie"].lower()
        theirs = http.cookies[COOKIE]
    for part in ("httponly", "samesite=strict", "path=/auth", "max-age="):
        assert part in set_cookie
    assert "secure" not in set_cookie  # over plain HTTP; see the next test
    await swarm(rig, tenant.email, "192.0.2")
    device, end, mac = theirs.split(".")
    for cookie in (theirs, f"{device}.{int(end) + 1}.{mac}", f"{device}.x.{mac}", "..", ".", "a.b.c.d", "x" * 5_000):
        async with at(rig, "198.51.100.2") as http:
            answer = await http.post(
                "/auth/login",
                json={"email": tenant.email, "password": PASSWORD},
                headers={"Cookie": f"{COOKIE}={cookie}"},
            )
            assert answer.status_code == 429, cookie


async def test_a_stolen_cookie_gives_few_guesses(rig: GatewayRig) -> None:
    tenant = await rig.register()
    async with at(rig, "198.51.100.1") as http:
        await http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})
        cookie = http.cookies[COOKIE]
    found = []
    for number in range(1, 7):
        async with at(rig, f"192.0.2.{number}") as thief:
            thief.cookies.set(COOKIE, cookie)
            body = {"email": tenant.email, "password": "guess"}
            found.append((await thief.post("/auth/login", json=body)).status_code)
    assert found == [401] * 3 + [429] * 3


async def test_the_cookie_is_secure_over_tls(rig: GatewayRig) -> None:
    tenant = await rig.register()
    transport = httpx.ASGITransport(rig.app, client=("198.51.100.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="https://gateway.test") as http:
        answer = await http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})
    assert "secure" in answer.headers["set-cookie"].lower()
