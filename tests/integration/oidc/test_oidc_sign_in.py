"""Log-in through a real identity provider: new people, those who come back, rotation of keys, and the second factor."""

from urllib.parse import parse_qs, urlsplit

import pytest

from deployments.gateway.oidc import signing_keys
from storage.postgres.database import system_tx
from tests.fixtures.gateway import GatewayRig, Tenant
from tests.fixtures.identity_provider import CLIENT_ID, PAGE_URL, Browser, IdentityServer, new_key, told
from tests.fixtures.second_factor import CodeClock, enrol


async def test_somebody_new_founds_a_company_and_comes_back_to_it(browser: Browser, ada: str) -> None:
    first = await browser.finish((await browser.sign_in(ada))["oidc"])
    assert first.status_code == 200
    tenant = Tenant(browser.gateway, first.json(), ada)
    me = (await tenant.get("/me")).json()
    assert (me["user"]["email"], me["tenant"]["name"], me["role"]) == (ada, "acme.example", "owner")
    again = await browser.finish((await browser.sign_in(ada))["oidc"])
    assert again.json()["user"] == first.json()["user"]
    events = (await tenant.get("/audit")).json()["items"]
    assert [event["action"] for event in events] == ["user.login", "user.login", "tenant.register"]
    assert events[0]["details"] == {"provider": "acme"}


async def test_the_way_there_names_all_that_protects_it(browser: Browser) -> None:
    url = await browser.start()
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query["redirect_uri"] == f"{PAGE_URL}/auth/oidc/acme/callback"
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["client_id"] == CLIENT_ID
    other = parse_qs(urlsplit(await browser.start()).query)
    for name in ("state", "nonce", "code_challenge"):
        assert len(query[name]) >= 43
        assert query[name] != other[name][0]


async def test_the_cookie_is_nobody_elses_business(rig: GatewayRig, browser: Browser, ada: str) -> None:
    answer = await browser.gateway.get("/auth/oidc/acme/start")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # the page is at http in this test
    await browser.finish((await browser.sign_in(ada))["oidc"])
    names = [name for name in browser.gateway.cookies if "oidc" in name]
    # The first flow was never ended; the finished one has left nothing.
    assert len(names) == 1


async def test_no_address_ever_has_a_token_in_it(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(return_to="/deep?x=1"), ada)
    answer = await browser.back(back)
    location = answer.headers["location"]
    assert location.startswith(f"{PAGE_URL}/deep?x=1#oidc=")
    assert "eyJ" not in back + location
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_knows_which_providers_there_are(browser: Browser) -> None:
    answer = await browser.gateway.get("/auth/oidc")
    assert answer.json() == {"items": [{"name": "acme", "label": "Acme"}]}


@pytest.mark.parametrize(
    ("algorithm", "method", "in_id_token"),
    [("ES256", "post", True), ("EdDSA", "basic", True), ("RS256", "post", False)],
)
async def test_the_provider_chooses_its_algorithm_and_ways(
    acme: IdentityServer, browser: Browser, ada: str, algorithm: str, method: str, in_id_token: bool
) -> None:
    keys = [new_key(algorithm, "one"), new_key("RS256", "two")]
    acme.start(keys, claims_in_id_token=in_id_token, method=method)
    grant = await browser.finish((await browser.sign_in(ada))["oidc"])
    assert grant.json()["user"]["email"] == ada


async def test_keys_that_rotate_are_followed(
    acme: IdentityServer, browser: Browser, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.start([new_key("RS256", "old")])
    assert "oidc" in await browser.sign_in(ada)
    acme.start([new_key("RS256", "new"), new_key("RS256", "old")])
    # It has looked a moment ago, and does not look again for every stranger's id.
    assert await browser.sign_in(ada) == {"sign-in-error": "identity_invalid"}
    monkeypatch.setattr(signing_keys, "PAUSE_SECONDS", 0.0)
    assert "oidc" in await browser.sign_in(ada)
    # The same id with another key is a forgery until the old one is forgotten.
    acme.start([new_key("RS256", "new")])
    assert await browser.sign_in(ada) == {"sign-in-error": "identity_invalid"}
    monkeypatch.setattr(signing_keys, "KEEP_SECONDS", 0.0)
    assert "oidc" in await browser.sign_in(ada)


async def test_a_provider_that_is_away_is_said_so(acme: IdentityServer, browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    acme.stop()
    assert told(await browser.back(back)) == {"sign-in-error": "unavailable"}
    acme.start([new_key("RS256", "first")])


async def test_the_second_factor_is_asked_for_here_too(
    rig: GatewayRig, browser: Browser, ada: str, code_clock: CodeClock
) -> None:
    grant = (await browser.finish((await browser.sign_in(ada))["oidc"])).json()
    enrolled = await enrol(Tenant(browser.gateway, grant, ada), code_clock)
    answer = (await browser.finish((await browser.sign_in(ada))["oidc"])).json()
    assert answer["mfa_required"] is True
    assert "access_token" not in answer
    assert (await enrolled.verify(answer["challenge"], code=enrolled.fresh_code()))[0] == 200


async def test_who_was_removed_from_the_company_is_not_let_in(rig: GatewayRig, browser: Browser, ada: str) -> None:
    grant = (await browser.finish((await browser.sign_in(ada))["oidc"])).json()
    async with system_tx(rig.services.db) as tx:
        await tx.execute("delete from memberships where user_id = %s", [grant["user"]["id"]])
    assert await browser.sign_in(ada) == {"sign-in-error": "not_authenticated"}
