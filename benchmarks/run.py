"""`make bench`: runs every benchmark and writes RESULTS.md with the figures, the commands and the machine."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import (
    answer_cache,
    chat_cost,
    chat_stream,
    chat_under_ingestion,
    completion_cost,
    engine_throughput,
    failover,
    fairness,
    first_token,
    growth,
    guardrails,
    ingestion,
    recall_turns,
    retrieval,
    routing_cost,
    search_scale,
    sockets,
    streams,
)
from benchmarks.installation import Bench, scripted_installation

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Alone:
    """Needs no installation, and none beside it."""

    title: str
    measure: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class OnInstallation:
    """Runs on the installation of the benchmark before it when both may share one."""

    title: str
    measure: Callable[[Bench], dict[str, Any]]
    shared: bool = True


BENCHMARKS: dict[str, Alone | OnInstallation] = {
    "first_token": OnInstallation("Time to first token that the whole stack adds to the engine's", first_token.measure),
    "chat_cost": OnInstallation("CPU time of a signed-in, metered and saved chat", chat_cost.measure),
    "completion_cost": OnInstallation(
        "CPU time of a streamed completion over `/v1/chat/completions`, and of a server that only says it",
        completion_cost.measure,
    ),
    "chat_stream": OnInstallation(
        "Streamed answers through the whole stack against raw relays and Serve's own proxy", chat_stream.measure
    ),
    "fairness": OnInstallation("A quiet tenant beside one that floods, against alone", fairness.measure),
    "chat_under_ingestion": OnInstallation(
        "Time to first token while a bulk job runs, against idle", chat_under_ingestion.measure
    ),
    "sockets": OnInstallation("Memory of idle signed-in sockets against raw uvicorn", sockets.measure),
    "growth": OnInstallation("Time to first token with 10,000 tenants against 10", growth.measure, shared=False),
    "ingestion": Alone("Chunks per CPU-second from stored file to searchable against raw `encode`", ingestion.measure),
    "retrieval": Alone("What retrieval finds on XQuAD", lambda: uvloop.run(retrieval.measure())),
    "recall_turns": Alone(
        "Earlier exchanges that a question brings back, by words and by vectors", recall_turns.measure
    ),
    "search_scale": OnInstallation(
        "Retrieval over the API with 100,000 chunks of 1,000 bots against LanceDB alone",
        search_scale.measure,
        shared=False,
    ),
    "guardrails": Alone(
        "Guardrails: benign questions wrongly blocked, attacks found, time per turn",
        lambda: uvloop.run(guardrails.measure()),
    ),
    "answer_cache": Alone(
        "Answers that are kept: hits, false hits, and a semantic hit against one embedding and an exact look-up",
        lambda: uvloop.run(answer_cache.measure()),
    ),
    "engine_throughput": Alone(
        "Tokens per second of the embedded vLLM through the whole platform against the same replica directly",
        engine_throughput.measure,
    ),
    "failover": Alone("1,000 turns while an engine fails at random, or is killed", failover.measure),
    "routing_cost": Alone("A day of mixed questions through a route against the strong model", routing_cost.measure),
    "streams": Alone(
        "Multiplexed streams between processes against a raw TCP echo", lambda: uvloop.run(streams.measure())
    ),
}


class Runner:
    """Starts an installation when the next benchmark needs one, and ends it when the next may not have it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bench: Bench | None = None

    def run(self, benchmark: Alone | OnInstallation) -> dict[str, Any]:
        if isinstance(benchmark, Alone):
            self.close()
            return benchmark.measure()
        if not benchmark.shared:
            self.close()
        if self._bench is None:
            self._bench = self._stack.enter_context(scripted_installation())
        try:
            return benchmark.measure(self._bench)
        finally:
            if not benchmark.shared:
                self.close()

    def close(self) -> None:
        self._bench = None
        self._stack.close()


def main(names: list[str]) -> None:
    """Run the named benchmarks, all without names; sections of others stay as they are."""
    sections = _sections()
    runner = Runner()
    try:
        for name in names or list(BENCHMARKS):
            print(f"{name} …", flush=True)
            begun = time.monotonic()
            sections[name] = _section(name, BENCHMARKS[name].title, runner.run(BENCHMARKS[name]))
            RESULTS.write_text(_document(sections), "utf-8")
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    finally:
        runner.close()


def _document(sections: dict[str, str]) -> str:
    head = (
        "# Results\n\nWritten by `make bench`. Ours and the raw limit run interleaved in one run; figures are medians."
        " Absolute figures belong to the machine they were measured on; the ratios are what counts.\n"
    )
    # Sections of others, as that of the fault suite, come last.
    names = [*(name for name in BENCHMARKS if name in sections), *(name for name in sections if name not in BENCHMARKS)]
    return head + "".join(f"\n<!-- {name} -->\n{sections[name]}" for name in names)


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
