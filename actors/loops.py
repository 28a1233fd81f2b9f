"""Background work that goes on whatever happens: errors are logged, the next round comes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

log = structlog.get_logger()


async def repeat(name: str, work: Callable[[], Awaitable[float | None]], every: float) -> None:
    """Run `work` until cancelled, `every` seconds after its end, or after the seconds it returns."""
    while True:
        pause: float | None = None
        try:
            pause = await work()
        except Exception as error:  # noqa: BLE001 - the loop must outlive any failure of a round
            log.warning("loop.failed", loop=name, error=repr(error))
        require_running()
        await asyncio.sleep(every if pause is None else pause)


def require_running() -> None:
    """Raises CancelledError where this task was cancelled and something it waited for swallowed that, as
    `asyncio.wait_for` does in Python 3.11 (bpo-37658): a loop that goes on is never cancelled again."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def run_until_closed(stack: AsyncExitStack, *works: Coroutine[Any, Any, Any]) -> None:
    """Start each as a task that the stack cancels and awaits, before it closes what was opened earlier."""

    async def end(task: asyncio.Task[Any]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for work in works:
        stack.push_async_callback(end, asyncio.create_task(work))
