"""The `loquent` command."""

import json
import os
import signal
import time
from importlib.metadata import version as installed_version
from typing import Annotated
from uuid import UUID

import typer

from cluster.embedded.process import SetupError
from cluster.ingest_command import ingest
from cluster.keys_command import keys_app
from cluster.privacy_command import erasure_app, retention_app
from cluster.runtime import end_leftovers, load_state, only_one, process_of
from cluster.terminal import console, end_well, fail, running_url, settings
from domain.staff import StaffRole

app = typer.Typer(help="Loquent: chatbots that answer from your documents.", no_args_is_help=True, add_completion=False)
audit_app = typer.Typer(help="The audit log.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
app.add_typer(erasure_app, name="erasure")
app.add_typer(retention_app, name="retention")
staff_app = typer.Typer(help="The platform's own staff.", no_args_is_help=True)
app.add_typer(staff_app, name="staff")
app.add_typer(keys_app, name="keys")
app.command()(ingest)

STOP_SECONDS = 90.0


@app.command()
def up() -> None:
    """Start everything on this machine and stay; Ctrl-C stops it."""
    from cluster.up import Installation

    try:
        Installation(settings(), console).run()
    except SetupError as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"{error.strerror or error}: {error.filename or 'while starting'}.") from None


@app.command()
def down() -> None:
    """Stop the running installation and wait for its end."""
    folder = settings().root
    state = load_state(folder)
    process = process_of(state.pid, state.created) if state else None
    if process is None:
        try:
            with only_one(folder):
                left = end_leftovers(folder)
        except SetupError:
            raise fail("Loquent is just starting; try again in a moment.") from None
        console.print("Stopped what an interrupted run had left." if left else "Loquent is not running.")
        return
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while process.is_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.is_running():
        raise fail(f"Process {process.pid} did not end within {STOP_SECONDS:.0f} s.")
    console.print("Stopped; the data stays.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show every part with its process, health and memory."""
    from cluster.knowledge_status import knowledge_of
    from cluster.status import examine, table_of

    report = examine(settings().root)
    report["knowledge"] = knowledge_of(settings()) if report["running"] else {}
    if as_json:
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        console.print(table_of(report))
    if not report["running"]:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Check this machine and say what to do about each problem."""
    from cluster.doctor import examine

    findings = examine(settings())
    for finding in findings:
        mark = "[green]✓[/green]" if finding.ok else "[bold red]✗[/bold red]"
        remedy = "" if finding.ok else f" — {finding.remedy}"
        console.print(f"{mark} {finding.name}: {finding.detail}{remedy}", highlight=False)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database of DATABASE_URL up to date."""
    from cluster.external import migrate_database

    chosen = settings()
    secret = chosen.secret_key.get_secret_value()
    if chosen.database_url is None or not secret:
        raise fail("Set DATABASE_URL and LOQUENT_SECRET_KEY; the embedded database is migrated by `loquent up`.")
    try:
        names = migrate_database(chosen.database_url, secret)
    except SetupError as error:
        raise fail(str(error)) from None
    console.print(f"Applied {', '.join(names)}." if names else "The database is up to date.")


@app.command()
def demo() -> None:
    """Set up the demo tenant on the running installation."""
    from cluster.demo import seed_demo

    try:
        chatbot_id = seed_demo(running_url())
    except SetupError as error:
        raise fail(str(error)) from None
    console.print(f"The demo chatbot is {chatbot_id}.")


@app.command()
def chat(
    chatbot: Annotated[str, typer.Option(help="Id of the chatbot; the demo's when not given.")] = "",
    session: Annotated[str, typer.Option(help="Id of a session to go on with; a new one when not given.")] = "",
    email: Annotated[str, typer.Option(envvar="LOQUENT_EMAIL", help="Log-in; the demo's when not given.")] = "",
    password: Annotated[str, typer.Option(envvar="LOQUENT_PASSWORD", help="Its password.")] = "",
    url: Annotated[str, typer.Option(help="Of the platform; the installation of this folder when not given.")] = "",
) -> None:
    """Chat in the terminal; a question from a pipe is answered and that is all."""
    from cluster.chat_command import run_chat

    try:
        run_chat(url or running_url(), chatbot, session, email, password, console)
    except SetupError as error:
        raise fail(str(error)) from None


@audit_app.command("verify")
def verify_audit_log(
    tenant: Annotated[UUID | None, typer.Option(help="Id of one tenant; all of them when not given.")] = None,
) -> None:
    """Compute every chain anew and compare it with its head and its anchors; status 1 when something is wrong."""
    from cluster.audit_command import verify_audit

    try:
        whole = verify_audit(settings(), tenant, console)
    except SetupError as error:
        raise fail(str(error)) from None
    if not whole:
        raise typer.Exit(1)


@staff_app.command("grant")
def grant_staff_role(
    email: Annotated[str, typer.Argument(help="Of somebody who has an account.")],
    role: Annotated[StaffRole, typer.Argument(help="`support` reads, `operator` suspends too.")],
) -> None:
    """Make somebody staff, or change their role."""
    from cluster.staff_command import grant_staff

    end_well(lambda: grant_staff(settings(), email, role, console))


@staff_app.command("revoke")
def revoke_staff_role(email: Annotated[str, typer.Argument(help="Of somebody who is staff.")]) -> None:
    """They are no staff from their next request on."""
    from cluster.staff_command import revoke_staff

    end_well(lambda: revoke_staff(settings(), email, console))


@staff_app.command("list")
def list_staff_roles() -> None:
    """Show who is staff."""
    from cluster.staff_command import list_staff

    end_well(lambda: list_staff(settings(), console))


@app.command()
def probe(
    url: Annotated[str, typer.Option(help="Of the platform; the installation of this folder when not given.")] = "",
    every: Annotated[float, typer.Option(help="Go on, with so many seconds between two runs.")] = 0.0,
    remove: Annotated[bool, typer.Option("--remove", help="Delete what the probe has planted.")] = False,
) -> None:
    """Plant words in one tenant and look for them from another; status 1 when one is found, 2 when it cannot look."""
    from cluster.probe_command import remove_canaries, run_probe

    try:
        if remove:
            remove_canaries(url or running_url(), settings(), console)
        elif not run_probe(url or running_url(), settings(), every, console, local=not url):
            raise typer.Exit(1)
    except SetupError as error:
        fail(str(error))
        raise typer.Exit(2) from None


@app.command()
def version() -> None:
    """Show the version."""
    console.print(installed_version("loquent"))
