"""What runs, and how much memory it takes: proportional set size, summed over each part's process tree."""

from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.table import Table

from cluster.runtime import load_state, process_of

MIB = 1024 * 1024


def examine(folder: Path) -> dict[str, Any]:
    """`{"running", "url", "ready", "checks", "parts": [{"name", "pid", "processes", "memory_mib"}], "memory_mib"}`."""
    state = load_state(folder)
    process = process_of(state.pid, state.created) if state else None
    if state is None or process is None:
        return {"running": False, "url": "", "ready": False, "checks": {}, "parts": [], "memory_mib": 0}
    parts: list[dict[str, Any]] = [_measure("loquent up", [process])]
    for part in state.parts:
        found = process_of(part.pid, part.created)
        if found is None:
            parts.append({"name": part.name, "pid": part.pid, "processes": 0, "memory_mib": 0})
        elif part.name == "Ray":
            parts += _ray_parts(found)
        else:
            parts.append(_measure(part.name, _tree(found)))
    ready, checks = _readiness(state.url)
    total = round(sum(part["memory_mib"] for part in parts))
    return {
        "running": True,
        "url": state.url,
        "ready": ready,
        "checks": checks,
        "parts": parts,
        "memory_mib": total,
    }


def table_of(report: dict[str, Any]) -> Table | str:
    """The report for the terminal."""
    if not report["running"]:
        return "Loquent is not running here; `loquent up` starts it."
    table = Table(title=f"Loquent at {report['url']}: {'ready' if report['ready'] else 'not ready'}")
    for column in ("part", "pid", "processes", "memory (MiB)"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part in report["parts"]:
        style = "" if part["processes"] else "bold red"
        table.add_row(part["name"], str(part["pid"]), str(part["processes"]), f"{part['memory_mib']:,.0f}", style=style)
    table.add_section()
    table.add_row("total", "", "", f"{report['memory_mib']:,}", style="bold")
    for name, check in report["checks"].items():
        table.add_row(f"check: {name}", "", "ok" if check["ok"] else check.get("detail") or "failed", "")
    for name, total in report.get("knowledge", {}).items():
        table.add_row(f"knowledge: {name.replace('_', ' ')}", "", str(total), "")
    return table


def _ray_parts(head: psutil.Process) -> list[dict[str, Any]]:
    """Ray's own processes in one row, and a row for each actor, by the name that Ray gives its process."""
    own: list[psutil.Process] = []
    actors: dict[str, list[psutil.Process]] = {}
    for process in _tree(head):
        title = _title(process)
        if title.startswith("ray::"):
            actors.setdefault(title.split(maxsplit=1)[0].removeprefix("ray::").split(".")[0], []).append(process)
        else:
            own.append(process)
    rows = [_measure("Ray", own, pid=head.pid)]
    return rows + [_measure(f"  {name}", processes) for name, processes in sorted(actors.items())]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _measure(name: str, processes: list[psutil.Process], pid: int | None = None) -> dict[str, Any]:
    used = 0
    for process in processes:
        try:
            info = process.memory_full_info()
            used += getattr(info, "pss", info.uss)
        except psutil.Error:
            continue
    first = pid if pid is not None else processes[0].pid
    return {"name": name, "pid": first, "processes": len(processes), "memory_mib": round(used / MIB, 1)}


def _readiness(url: str) -> tuple[bool, dict[str, Any]]:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=10)
        return answer.status_code == 200, answer.json()["checks"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False, {}
