"""A Chromium on the running platform, and a page in it that may do nothing wrong unseen."""

import shutil
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN_SOCKETS = """
window.openedSockets = [];
window.networkDown = false;
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(window.networkDown ? new URL("/nowhere", location.href) : url);
    window.openedSockets.push(this);
  }
};
"""
"""Lets a test close the page's socket, and refuse new ones: not every Chromium does so when it is offline."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser, platform_url: str) -> AsyncIterator[BrowserContext]:
    """A browser context that fails the test for a script error, a policy violation or a request to elsewhere."""
    context = await browser.new_context(base_url=platform_url, viewport={"width": 1280, "height": 800})
    await context.add_init_script(OWN_SOCKETS)
    problems: list[str] = []
    own = urlsplit(platform_url).netloc
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None,
    )
    context.on(
        "request",
        lambda request: problems.append(request.url) if urlsplit(request.url).netloc not in ("", own) else None,
    )
    yield context
    await context.close()
    assert problems == []


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    page = await context.new_page()
    await page.goto("/")
    return page
