"""Log-in through an identity provider, attacked on its way: wrong states, codes, browsers and addresses."""

from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

import pytest

from tests.fixtures.gateway import GatewayRig
from tests.fixtures.identity_provider import PAGE_URL, Browser, IdentityServer, told

ELSEWHERE = (
    "",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "evil.example",
    "@evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/a\r\nSet-Cookie: x=y",
    " //evil.example",
    "/a#oidc=code",
    "/a b",
    "/é",
    "/" + "a" * 512,
)


def changed(url: str, **query: str | None) -> str:
    """The same address with other parameters; None takes one out."""
    parts = urlsplit(url)
    found = {name: values[0] for name, values in parse_qs(parts.query).items()}
    kept = {name: value for name, value in {**found, **query}.items() if value is not None}
    return urlunsplit(parts._replace(query=urlencode(kept)))


async def test_an_answer_without_a_state_or_with_an_unknown_one(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    for url in (changed(back, state=None), changed(back, state=""), changed(back, state="x"), changed(back, state="é")):
        answer = await browser.back(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    assert (await browser.back(changed(back, state="x" * 5_000))).status_code == 422
    assert "oidc" in told(await browser.back(back))


async def test_another_browsers_answer_counts_for_nobody(rig: GatewayRig, browser: Browser, ada: str) -> None:
    victim = Browser(rig)
    back = await browser.consent(await browser.start(), ada)
    await victim.start()
    assert (await victim.back(back)).status_code == 400
    # Nor for its own browser any more: the state was shown.
    assert (await browser.back(back)).status_code == 400
    await victim.close()


async def test_an_answer_counts_once(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    assert "oidc" in told(await browser.back(back))
    assert (await browser.back(back)).status_code == 400


async def test_a_stolen_code_is_worth_nothing_in_another_log_in(rig: GatewayRig, browser: Browser, ada: str) -> None:
    stolen = parse_qs(urlsplit(await browser.consent(await browser.start(), ada)).query)["code"][0]
    thief = Browser(rig)
    own = parse_qs(urlsplit(await thief.start()).query)["state"][0]
    url = f"{PAGE_URL}/auth/oidc/acme/callback?{urlencode({'state': own, 'code': stolen})}"
    # Without `iss`, which this provider always sends, and with it.
    assert told(await thief.back(url)) == {"sign-in-error": "identity_invalid"}
    own = parse_qs(urlsplit(await thief.start()).query)["state"][0]
    issuer = rig.services.identity.tables()[0].issuer
    assert told(await thief.back(changed(url, state=own, iss=issuer))) == {"sign-in-error": "identity_invalid"}
    await thief.close()


async def test_a_token_for_another_log_in_is_refused(browser: Browser, ada: str) -> None:
    """The provider signs the nonce that it was shown; it is not the one of this log-in."""
    back = await browser.consent(changed(await browser.start(), nonce="n" * 43), ada)
    assert told(await browser.back(back)) == {"sign-in-error": "identity_invalid"}


async def test_a_code_without_its_verifier_is_refused(browser: Browser, ada: str) -> None:
    back = await browser.consent(changed(await browser.start(), code_challenge="c" * 43), ada)
    assert told(await browser.back(back)) == {"sign-in-error": "identity_invalid"}


async def test_the_answer_of_another_issuer_is_refused(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    assert told(await browser.back(changed(back, iss="https://evil.example"))) == {"sign-in-error": "identity_invalid"}


async def test_who_says_no_at_the_provider_is_not_signed_in(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(return_to="/here"), ada, abort=True)
    assert "error=access_denied" in back
    answer = await browser.back(back)
    assert answer.headers["location"] == f"{PAGE_URL}/here#sign-in-error=provider_refused"


async def test_an_error_of_the_provider_beside_a_code_wins(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    answer = await browser.back(changed(back, error="<script>alert(1)</script>"))
    assert told(answer) == {"sign-in-error": "provider_refused"}
    assert "script" not in answer.text + answer.headers["location"]


async def test_an_answer_without_a_code(browser: Browser, ada: str) -> None:
    back = await browser.consent(await browser.start(), ada)
    assert told(await browser.back(changed(back, code=None))) == {"sign-in-error": "provider_refused"}


async def test_the_last_code_counts_once_and_in_its_browser_only(rig: GatewayRig, browser: Browser, ada: str) -> None:
    victim = Browser(rig)
    await victim.start()
    code = (await browser.sign_in(ada))["oidc"]
    assert (await victim.finish(code)).status_code == 401
    # It was shown: its own browser begins again.
    assert (await browser.finish(code)).status_code == 401
    code = (await browser.sign_in(ada))["oidc"]
    assert (await browser.finish(code)).status_code == 200
    assert (await browser.finish(code)).status_code == 401
    await victim.close()


async def test_what_is_no_code_is_refused(browser: Browser) -> None:
    for code, status in (("x", 401), ("é" * 100, 401), ("x" * 513, 422), ("", 422), ("a\x00b", 422)):
        assert (await browser.finish(code)).status_code == status
    assert (await browser.gateway.post("/auth/oidc/finish", json={"code": ["x"]})).status_code == 422


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_nobody_is_sent_elsewhere_afterwards(browser: Browser, path: str) -> None:
    answer = await browser.gateway.get(f"/auth/oidc/acme/start?return_to={quote(path, safe='')}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("path", ["/", "/a", "/a/b?c=d&e=%20", "/.well-known/x", "/a//b"])
async def test_paths_of_the_page_are_kept(browser: Browser, ada: str, path: str) -> None:
    back = await browser.consent(await browser.start(return_to=path), ada)
    location = (await browser.back(back)).headers["location"]
    assert location.partition("#")[0] == PAGE_URL + path


@pytest.mark.parametrize("name", ["none", "ACME", "..", "acme%00", "acme%2F..", "a" * 500])
async def test_a_provider_that_there_is_not(browser: Browser, name: str) -> None:
    for path in ("start", "callback?state=x"):
        assert (await browser.gateway.get(f"/auth/oidc/{name}/{path}")).status_code == 404


async def test_the_host_that_a_request_names_is_not_believed(browser: Browser, acme: IdentityServer) -> None:
    answer = await browser.gateway.get("/auth/oidc/acme/start", headers={"Host": "evil.example"})
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == [f"{PAGE_URL}/auth/oidc/acme/callback"]
    assert answer.headers["location"].startswith(acme.issuer)
