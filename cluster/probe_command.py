"""`loquent probe`: runs the canary probe once or again and again, and says what it found to people and to monitors."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import structlog
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from rich.console import Console

from cluster import probe as canaries
from cluster.installed_database import database_of
from configs.settings import Settings
from storage.postgres.database import Database
from storage.postgres.isolation import VisibleRows
from storage.postgres.migrator import role_urls

log = structlog.get_logger(__name__)
STATE = "probe.json"
METRICS = "probe.prom"
CALL_SECONDS = 60.0


def run_probe(url: str, settings: Settings, every: float, console: Console, *, local: bool) -> bool:
    """Whether nothing was found; with `every` > 0 it returns at the first find. Raises ProbeFailed, SetupError.

    `local` looks into the database as well, for which it has to be this folder's or that of the settings.
    """
    while True:
        report = asyncio.run(_probe(url, settings, local))
        _tell(report, settings.root / METRICS, console)
        if report.finds or every <= 0:
            return not report.finds
        time.sleep(every)


def remove_canaries(url: str, settings: Settings, console: Console) -> None:
    """Raises ProbeFailed."""
    state = settings.root / STATE
    if not state.is_file():
        console.print("The probe has planted nothing here.")
        return
    asyncio.run(_remove(url, state))
    state.unlink()
    console.print("Deleted what the probe had planted.")


async def _probe(url: str, settings: Settings, local: bool) -> canaries.Report:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS, trust_env=False))
        rows = None
        if local:
            address, secret = database_of(settings)
            db = await Database.open(*role_urls(address, secret), min_size=0, max_size=1)
            stack.push_async_callback(db.close)
            rows = VisibleRows(db)
        socket_url = url.replace("http", "ws", 1).rstrip("/")
        return await canaries.probe(http, socket_url, settings.root / STATE, rows)


async def _remove(url: str, state: Path) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS, trust_env=False) as http:
        await canaries.remove(http, canaries.load_or_new(state))


def _tell(report: canaries.Report, metrics: Path, console: Console) -> None:
    for find in report.finds:
        console.print(f"[bold red]✗[/bold red] {find.surface}, as {find.who}: {find.what}.", highlight=False)
    for blind in report.missing:
        console.print(f"[yellow]![/yellow] {blind} could not be planted, so nothing was looked for there.")
    checks = ", ".join(f"{count} of {kind}" for kind, count in sorted(report.checks.items()))
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(report.answers.items()))
    console.print(f"{len(report.finds)} finds in {checks}; answers: {answers}.", highlight=False, soft_wrap=True)
    level = log.error if report.finds else log.info
    level("probe.run", finds=len(report.finds), checks=dict(report.checks), missing=len(report.missing))
    registry = CollectorRegistry()
    Gauge("loquent_probe_finds", "Things of one tenant that another met.", registry=registry).set(len(report.finds))
    Gauge("loquent_probe_missing", "Things that could not be planted.", registry=registry).set(len(report.missing))
    Gauge("loquent_probe_checks", "Answers looked at.", registry=registry).set(report.checks.total())
    Gauge("loquent_probe_time_seconds", "When it ran last.", registry=registry).set_to_current_time()
    write_to_textfile(str(metrics), registry)
