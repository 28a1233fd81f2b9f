"""`make bench`: runs every benchmark and writes RESULTS.md with the figures, the commands and the machine."""

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import chat_stream, ingestion, streams

RESULTS = Path(__file__).parent / "RESULTS.md"
BENCHMARKS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "chat_stream": (chat_stream.run, "A streamed answer through the whole stack against a raw uvicorn relay"),
    "ingestion": (ingestion.measure, "Chunks per CPU-second from stored file to searchable against raw `encode`"),
    "streams": (
        lambda: uvloop.run(streams.measure()),
        "Multiplexed streams between processes against a raw TCP echo",
    ),
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, all without names; sections of others stay as they are."""
    sections = _sections()
    for name in names or list(BENCHMARKS):
        run, title = BENCHMARKS[name]
        print(f"{name} …", flush=True)
        sections[name] = _section(name, title, run())
        RESULTS.write_text(_document(sections), "utf-8")


def _document(sections: dict[str, str]) -> str:
    head = (
        "# Results\n\nWritten by `make bench`. Ours and the raw limit run interleaved in one run; figures are medians."
        " Absolute figures belong to the machine they were measured on; the ratios are what counts.\n"
    )
    return head + "".join(f"\n<!-- {name} -->\n{sections[name]}" for name in BENCHMARKS if name in sections)


def _section(name: str, title: str, figures: dict[str, Any]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, Ray {version('ray')}"
    day = datetime.now(UTC).date().isoformat()
    body = json.dumps(figures, indent=2)
    return f"## {title}\n\n`python -m benchmarks.run {name}`, {day}; {machine}.\n\n```json\n{body}\n```\n"


def _sections() -> dict[str, str]:
    """The sections of the present file by name."""
    if not RESULTS.exists():
        return {}
    found = {}
    for part in RESULTS.read_text("utf-8").split("\n<!-- ")[1:]:
        name, _, text = part.partition(" -->\n")
        found[name] = text
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
