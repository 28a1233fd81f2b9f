"""`loquent erasure` and `loquent retention`: check receipts, erase at once what is too old."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.embedded.process import SetupError
from cluster.terminal import console, fail, settings

erasure_app = typer.Typer(help="Receipts of erasures.", no_args_is_help=True)
retention_app = typer.Typer(help="How long conversations are kept.", no_args_is_help=True)


@erasure_app.command("verify")
def verify_erasure(
    file: Annotated[Path, typer.Argument(help="The receipt.")],
    key: Annotated[str, typer.Option(help="The public key; of the installation of this folder when not given.")] = "",
) -> None:
    """Check a receipt's signature and show what it says; status 1 when it does not hold."""
    from cluster.privacy import check_receipt

    try:
        receipt = check_receipt(settings(), file, key)
    except SetupError as error:
        raise fail(str(error)) from None
    went = ", ".join(f"{total} {name}" for name, total in receipt["erased"].items()) or "nothing"
    console.print(f"[green]✓[/green] {receipt['kind']} {receipt['subject']}: erased {went}", highlight=False)
    console.print(f"Signed with key {receipt['key_id']} on {receipt['finished_at']}.", highlight=False)


@retention_app.command("run")
def run_retention_now() -> None:
    """Erase the conversations that are older than their chatbots keep them; also done once a day by itself."""
    from cluster.privacy import run_retention

    try:
        went = run_retention(settings())
    except SetupError as error:
        raise fail(str(error)) from None
    sessions, visitors = went.get("postgres.sessions", 0), went.get("postgres.visitors", 0)
    console.print(f"{sessions} conversations and {visitors} visitors erased; their traces follow.", highlight=False)
