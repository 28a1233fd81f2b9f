"""What the chat page lets people do with a conversation: other tabs, versions, ratings, names and ends."""

from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.acceptance.page_steps import PATIENCE_MS, ask, finished_answer, use_demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def test_follows_what_another_tab_asks(page: Page, context: BrowserContext) -> None:
    await use_demo(page)
    await ask(page, "Hello?")
    await finished_answer(page, 1)
    other = await context.new_page()
    await other.goto(page.url)
    await use_demo(other)
    await expect(other.get_by_test_id("connection")).to_have_attribute("data-state", "online")
    await finished_answer(other, 1)

    await ask(page, "What do the documents say?")
    await expect(other.get_by_test_id("message-user")).to_have_text(["Hello?", "What do the documents say?"])
    assert await finished_answer(other, 2) == await finished_answer(page, 2)


async def test_answers_again_edits_a_question_and_goes_through_the_versions(page: Page) -> None:
    await use_demo(page)
    await ask(page, "Hello?")
    first = await finished_answer(page, 1)
    versions = page.get_by_test_id("versions")
    await expect(versions).to_have_count(0)

    await page.get_by_test_id("regenerate").click()
    await expect(versions).to_have_text("2/2", timeout=PATIENCE_MS)
    await finished_answer(page, 1)
    await expect(page.get_by_test_id("message-user")).to_have_count(1)
    await page.get_by_label("Earlier version").click()
    await expect(versions).to_have_text("1/2")
    assert await finished_answer(page, 1) == first

    await page.get_by_test_id("message-user").hover()
    await page.get_by_test_id("edit").click()
    await page.get_by_test_id("edited-question").fill("Who are you?")
    await page.get_by_test_id("edited-question").press("Enter")
    await expect(page.get_by_test_id("message-user")).to_have_text(["Who are you?"])
    await expect(versions).to_have_text("3/3", timeout=PATIENCE_MS)
    await page.reload()
    await expect(versions).to_have_text("3/3")
    await expect(page.get_by_test_id("message-user")).to_have_text(["Who are you?"])
    await page.get_by_label("Earlier version").click()
    await expect(page.get_by_test_id("message-user")).to_have_text(["Hello?"])
    await expect(versions).to_have_text("2/3")


async def test_rates_an_answer_with_a_comment(page: Page) -> None:
    await use_demo(page)
    await ask(page, "Hello?")
    await finished_answer(page, 1)
    down = page.get_by_test_id("rate-down")
    await down.click()
    await expect(down).to_have_attribute("aria-pressed", "true")
    await page.get_by_test_id("rating-comment").fill("Too short.")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_test_id("rating-comment")).to_have_count(0)

    await page.reload()
    await expect(down).to_have_attribute("aria-pressed", "true")
    await down.click()
    await expect(page.get_by_test_id("rating-comment")).to_have_value("Too short.")
    await page.get_by_role("button", name="Remove the rating").click()
    await expect(down).to_have_attribute("aria-pressed", "false")


async def test_renames_closes_and_deletes_a_conversation(page: Page) -> None:
    title = f"Harbour {uuid4().hex[:8]}"
    await use_demo(page)
    await ask(page, "Hello?")
    await finished_answer(page, 1)
    row = page.locator(".rail-row").filter(has=page.locator("[aria-current=page]"))

    async def choose(item: str) -> None:
        await row.hover()
        await row.get_by_test_id("session-menu").click()
        await page.get_by_test_id(item).click()

    await choose("session-rename")
    await page.get_by_test_id("session-title").fill(title)
    await page.get_by_test_id("session-title").press("Enter")
    await expect(row).to_contain_text(title)
    await choose("session-close")
    await expect(page.get_by_test_id("closed-notice")).to_be_visible()
    await expect(page.get_by_test_id("question")).to_have_count(0)
    await choose("session-close")
    await expect(page.get_by_test_id("question")).to_be_visible()
    await choose("session-delete")
    await page.get_by_test_id("session-delete-confirm").click()
    await expect(page.get_by_test_id("session-item").filter(has_text=title)).to_have_count(0)
    await expect(page.get_by_test_id("message-user")).to_have_count(0)
