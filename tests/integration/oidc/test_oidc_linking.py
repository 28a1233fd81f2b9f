"""Which account somebody from an identity provider gets: by identity first, by address only where that is safe."""

from uuid import uuid4

import pytest

from tests.fixtures.gateway import PASSWORD, GatewayRig, Tenant
from tests.fixtures.identity_provider import Browser, IdentityServer, told


async def register(rig: GatewayRig, email: str) -> Tenant:
    body = {"email": email, "password": PASSWORD, "company": "Example Ltd"}
    answer = await rig.http.post("/auth/register", json=body)
    assert answer.status_code == 201
    return Tenant(rig.http, answer.json(), email)


def believe(rig: GatewayRig, *domains: str) -> None:
    """Change what the provider is believed about."""
    provider = rig.services.identity.find("acme")
    assert provider is not None
    provider.table = provider.table.model_copy(update={"domains": domains})


async def test_an_account_of_a_trusted_address_is_linked(rig: GatewayRig, browser: Browser, ada: str) -> None:
    before = await register(rig, ada.upper())
    grant = (await browser.finish((await browser.sign_in(ada))["oidc"])).json()
    assert grant["user"]["id"] == before.grant["user"]["id"]
    assert grant["tenant"]["name"] == "Example Ltd"
    events = (await Tenant(rig.http, grant, ada).get("/audit")).json()["items"]
    link = next(event for event in events if event["action"] == "identity.link")
    assert link["details"] == {"provider": "acme", "password_replaced": True}
    assert link["actor_id"] == grant["user"]["id"]


async def test_who_registered_the_address_first_keeps_no_way_in(rig: GatewayRig, browser: Browser, ada: str) -> None:
    squatter = await register(rig, ada)
    await browser.finish((await browser.sign_in(ada))["oidc"])
    login = await rig.http.post("/auth/login", json={"email": ada, "password": PASSWORD})
    refresh = await rig.http.post("/auth/refresh", json={"refresh_token": squatter.grant["refresh_token"]})
    assert (login.status_code, refresh.status_code) == (401, 401)


async def test_an_account_is_not_linked_by_a_provider_that_anybody_may_use(
    rig: GatewayRig, browser: Browser, ada: str
) -> None:
    owner = await register(rig, ada)
    believe(rig)
    assert await browser.sign_in(ada) == {"sign-in-error": "account_not_linked"}
    login = await rig.http.post("/auth/login", json={"email": owner.email, "password": PASSWORD})
    assert login.status_code == 200


async def test_an_address_that_nobody_verified_gets_nothing(rig: GatewayRig, acme: IdentityServer) -> None:
    stranger = acme.add("eve", verified=False)
    await register(rig, stranger.removesuffix("?"))
    browser = Browser(rig)
    assert await browser.sign_in(stranger) == {"sign-in-error": "email_not_verified"}
    assert await browser.sign_in(acme.add("eve", verified=False)) == {"sign-in-error": "email_not_verified"}
    await browser.close()


@pytest.mark.parametrize("domain", ["evil.example", "sub.acme.example", "acme.example.evil.example", "notacme.example"])
async def test_addresses_elsewhere_are_not_let_in(acme: IdentityServer, browser: Browser, domain: str) -> None:
    assert await browser.sign_in(acme.add("eve", domain)) == {"sign-in-error": "email_not_allowed"}


async def test_without_domains_anybody_may_found_a_company(rig: GatewayRig, acme: IdentityServer) -> None:
    believe(rig)
    browser = Browser(rig)
    login = acme.add("eve", "elsewhere.example")
    grant = (await browser.finish((await browser.sign_in(login))["oidc"])).json()
    assert grant["tenant"]["name"] == "elsewhere.example"
    await browser.close()


async def test_what_is_no_address_gets_nothing(browser: Browser) -> None:
    for login in ("ada", f"{uuid4().hex}@", "a b@acme.example", f"{'a' * 250}@acme.example"):
        assert await browser.sign_in(login) == {"sign-in-error": "email_not_verified"}


async def linking(rig: GatewayRig, tenant: Tenant, login: str, return_to: str = "/") -> dict[str, str]:
    browser = Browser(rig)
    answer = await browser.gateway.post("/auth/oidc/acme/link", json={"return_to": return_to}, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    found = told(await browser.back(await browser.consent(answer.json()["url"], login)))
    await browser.close()
    return found


async def test_whoever_is_signed_in_adds_an_identity_of_any_address(
    rig: GatewayRig, acme: IdentityServer, browser: Browser
) -> None:
    tenant, login = await rig.register(), acme.add("ada", "elsewhere.example", verified=False)
    assert await linking(rig, tenant, login) == {"linked": "acme"}
    assert await linking(rig, tenant, login) == {"linked": "acme"}
    grant = (await browser.finish((await browser.sign_in(login))["oidc"])).json()
    assert grant["user"] == tenant.grant["user"]
    # The password still works: the person was here.
    login_again = await rig.http.post("/auth/login", json={"email": tenant.email, "password": PASSWORD})
    assert login_again.status_code == 200
    other = await rig.register()
    assert await linking(rig, other, login) == {"sign-in-error": "identity_taken"}
    actions = [event["action"] for event in (await tenant.get("/audit")).json()["items"]]
    assert actions.count("identity.link") == 1


async def test_an_identity_that_was_removed_signs_in_no_more(rig: GatewayRig, acme: IdentityServer) -> None:
    tenant, login = await rig.register(), acme.add("ada", "elsewhere.example")
    assert (await tenant.call("DELETE", "/auth/oidc/acme/link")).status_code == 404
    await linking(rig, tenant, login)
    assert (await tenant.call("DELETE", "/auth/oidc/acme/link")).status_code == 204
    browser = Browser(rig)
    assert await browser.sign_in(login) == {"sign-in-error": "email_not_allowed"}
    await browser.close()
    events = (await tenant.get("/audit")).json()["items"]
    assert [event["action"] for event in events][:2] == ["identity.unlink", "identity.link"]


async def test_a_link_needs_the_browser_that_asked_for_it(rig: GatewayRig, browser: Browser, ada: str) -> None:
    """Nobody gets their identity into another's account by sending them an address."""
    tenant = await rig.register()
    answer = await rig.http.post("/auth/oidc/acme/link", json={}, headers=tenant.headers)
    back = await browser.consent(answer.json()["url"], ada)
    assert (await browser.back(back)).status_code == 400
    assert "oidc" in await browser.sign_in(ada)


async def test_linking_needs_a_signed_in_person_and_a_path_of_ours(rig: GatewayRig) -> None:
    tenant = await rig.register()
    assert (await rig.http.post("/auth/oidc/acme/link", json={})).status_code == 401
    bad = await tenant.post("/auth/oidc/acme/link", json={"return_to": "//evil.example"})
    assert bad.status_code == 422
    assert (await tenant.post("/auth/oidc/none/link", json={})).status_code == 404
