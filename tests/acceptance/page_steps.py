"""What a person does on the chat page, for the tests of the page."""

from playwright.async_api import Page, expect

PATIENCE_MS = 120_000
"""For what waits on the language model or on ingestion; everything else has Playwright's own deadline."""


async def use_demo(page: Page) -> None:
    await page.get_by_test_id("use-demo").click()
    await expect(page.get_by_test_id("question")).to_be_visible()


async def ask(page: Page, question: str) -> None:
    await page.get_by_test_id("question").fill(question)
    await page.get_by_test_id("question").press("Enter")
    await expect(page.get_by_test_id("message-user").last).to_have_text(question)


async def finished_answer(page: Page, number: int) -> str:
    """The text of the conversation's `number`th answer (from 1), once it is complete."""
    answers = page.locator("[data-testid=message-assistant][data-state=completed]")
    await expect(answers).to_have_count(number, timeout=PATIENCE_MS)
    text = await answers.last.locator(".prose").inner_text()
    assert text.strip()
    return text
