"""Signing in on the page in a real Chromium: with a second factor, and through a real identity provider."""

from collections.abc import AsyncIterator
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, Page, expect

from cluster.embedded.process import free_port
from configs.settings import Settings
from deployments.gateway.gateway import PAGE_DIR
from deployments.gateway.page import ChatPage
from domain.tenancy import Role
from tests.fixtures.gateway import PASSWORD, GatewayRig, serving
from tests.fixtures.identity_provider import (
    CLIENT_SECRET,
    SECRET_VARIABLE,
    IdentityServer,
    identity_table,
    new_key,
)
from tests.fixtures.second_factor import CodeClock, enrol, member

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture
def gateway_settings(
    gateway_settings: Settings, identity_server: IdentityServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv(SECRET_VARIABLE, CLIENT_SECRET)
    file = tmp_path / "identity.yaml"
    file.write_text(identity_table(identity_server))
    port = free_port()
    more = {"identity_file": file, "port": port, "public_url": f"http://127.0.0.1:{port}"}
    return gateway_settings.model_copy(update=more)


@pytest.fixture
async def platform_url(rig: GatewayRig) -> AsyncIterator[str]:
    """The gateway alone, with the built page: nobody chats here."""
    rig.app.router.default = ChatPage(PAGE_DIR)
    async with serving(rig, rig.services.settings.port):
        yield rig.services.settings.page_url


async def log_in(page: Page, email: str) -> None:
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def expect_signed_in(page: Page, email: str) -> None:
    await expect(page.get_by_test_id("sign-in-form")).to_have_count(0)
    await expect(page.get_by_text(email)).to_be_visible()


async def test_the_page_asks_for_the_code(rig: GatewayRig, page: Page, code_clock: CodeClock) -> None:
    enrolled = await enrol(await rig.register(), code_clock)
    await log_in(page, enrolled.tenant.email)
    code = page.get_by_label("Code")
    await code.fill(enrolled.wrong_code())
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_test_id("second-factor-error")).to_have_text("The code is wrong or was used already.")
    await page.get_by_text("Begin again").click()
    await log_in(page, enrolled.tenant.email)
    await code.fill(enrolled.fresh_code())
    await code.press("Enter")
    await expect_signed_in(page, enrolled.tenant.email)
    await page.reload()
    await expect_signed_in(page, enrolled.tenant.email)


async def test_the_page_sets_up_what_the_company_asks_for(rig: GatewayRig, page: Page, code_clock: CodeClock) -> None:
    owner = (await enrol(await rig.register(), code_clock)).tenant
    editor = await member(rig, owner, Role.EDITOR)
    assert (await owner.call("PATCH", "/tenant/security", json={"require_mfa": True})).status_code == 200
    await log_in(page, editor.email)
    await page.get_by_role("button", name="Set it up").click()
    secret = await page.get_by_test_id("totp-secret").inner_text()
    await page.get_by_label("Code that the app shows").fill(pyotp.TOTP(secret).at(code_clock.now))
    await page.get_by_role("button", name="Confirm").click()
    codes = (await page.get_by_test_id("recovery-codes").locator("pre").inner_text()).split()
    assert len(codes) == 10
    await page.get_by_role("button", name="I have kept them").click()
    await expect(page.get_by_text("No chatbot yet")).to_be_visible()
    # The tokens are new, and the next log-in asks.
    await page.reload()
    await expect(page.get_by_text("No chatbot yet")).to_be_visible()
    await page.get_by_label("Account").click()
    await page.get_by_test_id("sign-out").click()
    await log_in(page, editor.email)
    await page.get_by_label("Code").fill(codes[0])
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("No chatbot yet")).to_be_visible()


async def test_the_page_goes_to_the_identity_provider_and_back(
    rig: GatewayRig, browser: Browser, identity_server: IdentityServer, platform_url: str
) -> None:
    identity_server.start([new_key("ES256", "one")], page_url=platform_url)
    context = await browser.new_context(base_url=platform_url)
    page, login = await context.new_page(), identity_server.add("ada")
    await page.goto("/")
    await page.get_by_test_id("sign-in-with-acme").click()
    await page.locator("[name=login]").fill(login)
    await page.locator("[name=password]").fill("x")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()
    await expect_signed_in(page, login)
    assert page.url == f"{platform_url}/"
    assert [cookie["name"] for cookie in await context.cookies(platform_url) if "loquent" in cookie["name"]] == []
    # Who says no there is told so here.
    other = await (await browser.new_context(base_url=platform_url)).new_page()
    await other.goto("/")
    await other.get_by_test_id("sign-in-with-acme").click()
    await other.get_by_role("link", name="Cancel").click()
    await expect(other.get_by_test_id("sign-in-error")).to_have_text("The identity provider did not sign you in.")
    identity_server.stop()
