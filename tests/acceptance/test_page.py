"""The chat page in a real Chromium: sign in, upload, ask, read the source, lose the connection."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.acceptance.page_steps import PATIENCE_MS, ask, finished_answer, use_demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLOSE_SOCKET = "window.openedSockets.at(-1).close(4000, 'lost')"


async def upload(page: Page, path: Path) -> None:
    """Upload a file and wait until it can be searched."""
    await page.get_by_test_id("tab-documents").click()
    await page.get_by_test_id("upload-input").set_input_files(path)
    row = page.get_by_test_id("document-row").filter(has_text=path.name)
    await expect(row).to_have_count(1, timeout=PATIENCE_MS)
    await expect(row).to_have_attribute("data-status", re.compile("ready|failed"), timeout=PATIENCE_MS)
    await expect(row).to_have_attribute("data-status", "ready")


async def look_into(page: Page, name: str, fact: str) -> None:
    """Read a document's text, and try another way to cut it."""
    await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.get_by_test_id("document-text")).to_contain_text(fact)
    await page.get_by_test_id("tab-passages").click()
    await expect(page.get_by_test_id("chunk-summary")).to_contain_text("tokens in all")
    await page.get_by_label("Longest passage, in tokens").fill("32")
    await page.get_by_label("Overlap, in tokens").fill("0")
    await page.get_by_test_id("try-chunking").click()
    await expect(page.get_by_test_id("chunk").nth(1)).to_be_visible()
    await expect(page.get_by_test_id("chunk").filter(has_text="Zephyrine")).to_contain_text("The lighthouse")
    await expect(page.get_by_test_id("chunk").first).to_contain_text("Harbour office")
    await page.get_by_label("Close the document").click()


async def test_asks_about_an_uploaded_document_and_opens_the_passage(page: Page, tmp_path: Path) -> None:
    keeper = f"Odalys {uuid4().hex[:8].capitalize()}"
    fact = f"The keeper of the Zephyrine lighthouse is {keeper}, who lights the lamp at nine every evening."
    document = tmp_path / f"lighthouse-{uuid4().hex[:8]}.md"
    harbour = "Boats are moored at the east pier and leave with the tide."
    document.write_text(f"# Harbour office\n\n{harbour}\n\n# The lighthouse\n\n{fact}\n")
    await use_demo(page)
    await upload(page, document)

    await ask(page, "Who is the keeper of the Zephyrine lighthouse?")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online")
    answer = await finished_answer(page, 1)
    await expect(page.get_by_test_id("usage")).to_contain_text("tokens")

    await page.get_by_test_id("explain").click()
    await expect(page.get_by_test_id("trace-origin")).to_contain_text(" on local-")
    await expect(page.get_by_test_id("trace-calls")).to_contain_text("Answer")
    await expect(page.get_by_test_id("trace")).to_contain_text("Choice of the model")
    await expect(page.get_by_test_id("trace")).to_contain_text(fact)
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("trace")).to_have_count(0)

    source = page.get_by_test_id("citation").filter(has_text=document.name).first
    await source.click()
    await expect(page.get_by_test_id("passage-document")).to_have_text(document.name)
    await expect(page.get_by_test_id("passage")).to_contain_text(fact)
    mark = page.get_by_test_id("passage-mark")
    await expect(mark).to_have_text(await source.get_attribute("title") or "")
    await expect(mark).to_contain_text("Zephyrine")
    await expect(mark).to_be_focused()
    await expect(page.get_by_test_id("passage-place")).to_have_text("The lighthouse")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("passage")).to_have_count(0)
    await expect(source).to_be_focused()

    await page.reload()
    await expect(page.get_by_test_id("message-user")).to_have_text("Who is the keeper of the Zephyrine lighthouse?")
    assert await finished_answer(page, 1) == answer
    await expect(page.get_by_test_id("citation").filter(has_text=document.name).first).to_be_visible()
    await expect(page.get_by_test_id("session-item").first).to_have_attribute("aria-current", "page")

    await page.get_by_test_id("tab-documents").click()
    await look_into(page, document.name, fact)
    await page.get_by_label(f"Delete {document.name}").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_test_id("document-row").filter(has_text=document.name)).to_have_count(0)


async def test_streams_an_answer_in_pieces_and_resumes_it_after_a_lost_connection(page: Page) -> None:
    await use_demo(page)
    received: list[str] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: received.append(str(frame))),
    )
    await ask(page, "What do the documents say? Tell me as much as you can.")
    await expect(page.get_by_test_id("message-assistant")).to_have_count(1, timeout=PATIENCE_MS)
    async with page.expect_websocket():
        await page.evaluate(CLOSE_SOCKET)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online")
    streamed = await finished_answer(page, 1)
    assert sum('"type":"ready"' in frame.replace(" ", "") for frame in received) >= 2

    await ask(page, "And what else?")
    second = await finished_answer(page, 2)
    assert sum('"type":"token"' in frame.replace(" ", "") for frame in received) > 1

    # What was put together from two connections is what the server stored.
    await page.reload()
    assert await finished_answer(page, 2) == second
    first = page.locator("[data-testid=message-assistant][data-state=completed]").first
    assert await first.locator(".prose").inner_text() == streamed


async def test_sends_a_question_once_the_network_is_back(page: Page, context: BrowserContext) -> None:
    await use_demo(page)
    await ask(page, "Hello?")
    await finished_answer(page, 1)
    await context.set_offline(True)
    await page.evaluate("window.networkDown = true")
    await page.evaluate(CLOSE_SOCKET)
    # Offline, a close may never be reported: then the page finds out by a ping that stays without an answer.
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "reconnecting", timeout=30_000)
    await ask(page, "Are you still there?")
    await expect(page.locator("[data-testid=message-user][data-status=sending]")).to_have_count(1)
    await page.evaluate("window.networkDown = false")
    await context.set_offline(False)
    await finished_answer(page, 2)
    await expect(page.get_by_test_id("message-user")).to_have_count(2)


async def test_registers_makes_a_chatbot_and_configures_it(page: Page) -> None:
    email = f"{uuid4().hex}@example.com"
    await page.get_by_label("E-mail").fill(email)
    await page.locator("input[type=password]").fill("not the right one")
    await page.locator("button[type=submit]").click()
    error = page.get_by_test_id("sign-in-error")
    await expect(error).to_be_visible()
    assert re.fullmatch(r"[A-Z][^{}]*[.!]", await error.inner_text())

    await page.get_by_test_id("tab-register").click()
    await page.get_by_label("Company").fill("Harbour & Sons")
    await page.locator("button[type=submit]").click()
    await expect(page.get_by_test_id("tenant-name")).to_have_text("Harbour & Sons")
    await page.get_by_test_id("new-bot").click()
    await page.get_by_label("Name").fill("Pilot")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_test_id("bot-name")).to_have_text("Pilot")

    await page.get_by_test_id("open-settings").click()
    await expect(page.get_by_test_id("bot-version")).to_have_text("Version 1")
    await page.get_by_label("Greeting").fill("Ahoy.")
    await page.get_by_test_id("save-settings").click()
    await expect(page.get_by_test_id("bot-version")).to_have_text("Version 2")
    await page.get_by_label("Close the settings").click()
    await expect(page.get_by_test_id("greeting")).to_have_text("Ahoy.")

    await page.get_by_label("Account").click()
    await page.get_by_test_id("sign-out").click()
    await expect(page.get_by_test_id("use-demo")).to_be_visible()
    await page.reload()
    await expect(page.get_by_test_id("use-demo")).to_be_visible()


async def test_refuses_a_file_it_cannot_read_with_a_sentence(page: Page, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    await use_demo(page)
    await page.get_by_test_id("tab-documents").click()
    await page.get_by_test_id("upload-input").set_input_files(picture)
    await expect(page.get_by_test_id("upload-row").get_by_role("alert")).to_contain_text("not supported")


async def test_fits_a_narrow_screen(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await use_demo(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await expect(page.get_by_test_id("new-session")).not_to_be_in_viewport()
    await page.get_by_label("Open the list").click()
    await expect(page.get_by_test_id("new-session")).to_be_in_viewport()
    await page.get_by_test_id("new-session").click()
    await expect(page.get_by_test_id("new-session")).not_to_be_in_viewport()
    await expect(page.get_by_test_id("question")).to_be_in_viewport()
