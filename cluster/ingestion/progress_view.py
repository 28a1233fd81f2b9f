"""The live view of a job on a terminal: documents, chunks, per second, time left, failures."""

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cluster.ingestion.handing_over import Counts

Answer = dict[str, Any]


class ProgressView:
    """`with`; `note` what the client has counted and `show` what the platform says."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        self._progress = Progress(*columns, console=console)
        self._handed = self._progress.add_task("handed over", total=None, visible=False, detail="")
        self._searchable = self._progress.add_task("searchable", total=None, detail="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, counts: Counts) -> None:
        total = counts.found if counts.complete else None
        parts = [f"{counts.unchanged:,} unchanged"] if counts.unchanged else []
        if not counts.complete:
            parts.append(f"{counts.found:,} found so far")
        self._progress.update(
            self._handed, visible=True, total=total, completed=counts.handed_over, detail=" · ".join(parts)
        )

    def show(self, job: Answer) -> None:
        known = job["sealed_at"] is not None
        self._progress.update(
            self._searchable,
            total=job["found"] if known else None,
            completed=job["found"] - job["waiting"],
            detail=detail_of(job),
        )


def detail_of(job: Answer) -> str:
    """One line beside the bar."""
    parts = [f"{job['chunks']:,} chunks"]
    if job["ended_at"] is None:
        if job["documents_per_second"]:
            parts.append(f"{job['documents_per_second']:,.1f} documents/s, {job['chunks_per_second']:,.1f} chunks/s")
        if job["seconds_left"] is not None:
            parts.append(f"{timedelta(seconds=round(job['seconds_left']))} left")
    if job["failed"]:
        parts.append(f"[red]{job['failed']:,} failed[/red]")
    return " · ".join(parts)
