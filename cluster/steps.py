"""Steps of a long command on the terminal: what is being done, and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the first step."""
        return time.perf_counter() - self._started

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` while the block runs, and its time at the end."""
        started = time.perf_counter()
        with self._console.status(f"{title} …"):
            yield
        taken = time.perf_counter() - started
        self._console.print(f"[green]✓[/green] {title} [dim]{taken:.1f} s[/dim]", highlight=False)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)
