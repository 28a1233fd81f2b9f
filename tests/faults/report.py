"""The fault runs as a table in benchmarks/RESULTS.md: per fault its runs, violations and recovery."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.faults.schedule import Outcome
from tests.fixtures.installation_folder import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
MARK = "\n<!-- "
SECTION = "faults"
TITLE = "Killed and frozen processes under load, by seeded schedules"
EXPLANATION = (
    "Recovery is the time from the fault (for PostgreSQL and Valkey: from the server being back) until a question on"
    " a new session of every tenant was answered; the load goes on until then. Settled is when, from the same moment,"
    " no turn was open any more and every event was published and counted. Violations count what the checker found"
    " against the invariants of `tests/faults/checker.py`. A run whose fault found nothing to hurt has no recovery."
)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, a row per fault in order of first appearance, and the sums."""
    rows = [
        "| fault | runs | not injected | violations | recovery median, s | worst, s | settled worst, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes):
        rows.append(_row(fault, [outcome for outcome in outcomes if outcome.fault == fault]))
    rows.append(_row("**all**", outcomes))
    return "\n".join(rows)


def write(outcomes: Sequence[Outcome], file: Path = RESULTS) -> None:
    """Replace the section of the faults, or add it at the end; other sections stay as they are."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, Ray {version('ray')}"
    head = f"`make faults`, {datetime.now(UTC).date().isoformat()}; {machine}."
    asked = sum(outcome.questions for outcome in outcomes)
    acknowledged = sum(outcome.acknowledged for outcome in outcomes)
    taken_over = sum(outcome.turns.get("taken over", 0) for outcome in outcomes)
    sums = (
        f"{asked} questions were asked, {acknowledged} acknowledged; {taken_over} answers were read from more than one"
        " process."
    )
    replace_section(SECTION, f"## {TITLE}\n\n{head}\n\n{EXPLANATION} {sums}\n\n{table(outcomes)}\n", file)


def replace_section(name: str, body: str, file: Path = RESULTS) -> None:
    """Or add it at the end; other sections stay as they are."""
    before, *parts = file.read_text("utf-8").split(MARK)
    kept = [part for part in parts if not part.startswith(f"{name} -->")]
    file.write_text(MARK.join([before, *kept, f"{name} -->\n{body}"]), "utf-8")


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    recoveries = [outcome.recovery for outcome in outcomes if outcome.recovery is not None]
    middle, worst = (f"{median(recoveries):.1f}", f"{max(recoveries):.1f}") if recoveries else ("–", "–")
    missed = sum(bool(outcome.not_injected) for outcome in outcomes)
    violations = sum(len(outcome.violations) for outcome in outcomes)
    settled = max((outcome.settled for outcome in outcomes), default=0.0)
    return f"| {name} | {len(outcomes)} | {missed} | {violations} | {middle} | {worst} | {settled:.1f} |"
