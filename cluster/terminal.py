"""What the commands share: settings or one sentence, the console, and the installation that runs here."""

from collections.abc import Callable

import typer
from pydantic import ValidationError
from rich.console import Console

from cluster.embedded.process import SetupError
from cluster.runtime import load_state, process_of
from configs.settings import Settings

console = Console()


def settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "LOQUENT_" + "_".join(str(part) for part in first["loc"]).upper()
        raise fail(f"The setting {name} is not valid: {first['msg']}.") from None


def fail(sentence: str) -> typer.Exit:
    """Show one sentence and end with status 1."""
    console.print(f"[bold red]✗[/bold red] {sentence}", highlight=False)
    return typer.Exit(1)


def end_well(work: Callable[[], bool | None]) -> None:
    """Status 1 when the work says False, with one sentence when it could not be done."""
    try:
        well = work()
    except SetupError as error:
        raise fail(str(error)) from None
    if well is False:
        raise typer.Exit(1)


def running_url() -> str:
    """Address of the installation of this folder."""
    state = load_state(settings().root)
    if state is None or not state.ready or process_of(state.pid, state.created) is None:
        raise fail("Loquent is not running here; `loquent up` starts it.")
    return state.url
