"""`python -m benchmarks.profile`: where gateway, session host and engine spend their time under load, by py-spy.

Needs `pip install py-spy`, which nothing else uses, and the right to trace processes. Writes one speedscope file for
each process and load into the folder that is named, the present one without a name.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import uvloop

from benchmarks.chat_cost import chats
from benchmarks.chat_load import busy, seated
from benchmarks.installation import SHORT_TOKENS, Bench, scripted_installation

PARTS = {"gateway": ":Gateway", "session_host": "SessionHost", "burst": "LlmEngine-burst", "short": "LlmEngine-short"}
"""What the titles of the processes contain."""
SECONDS = 10
TENANTS, SESSIONS = 8, 8


async def profile(bench: Bench, py_spy: str, folder: Path) -> None:
    """Raises RuntimeError when py-spy fails."""
    population = bench.population
    seats = population.seats(population.tenants(TENANTS), SESSIONS, "burst")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(busy(await stack.enter_async_context(seated(seats))))
        await _record(bench, py_spy, folder, "stream")
    short = population.seats(population.tenants(TENANTS), 500, "short", SHORT_TOKENS)
    load = asyncio.create_task(chats(short))
    try:
        await _record(bench, py_spy, folder, "chat")
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


async def _record(bench: Bench, py_spy: str, folder: Path, load: str) -> None:
    """Sample all parts at the same time."""
    record = [py_spy, "record", "--duration", str(SECONDS), "--format", "speedscope"]
    jobs = []
    for process in bench.processes():
        for part, title in PARTS.items():
            if title in _title(process):
                output = folder / f"{load}-{part}-{process.pid}.json"
                jobs.append(_sample([*record, "--pid", str(process.pid), "--output", str(output)]))
    await asyncio.gather(*jobs)


async def _sample(command: Sequence[str]) -> None:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"py-spy: {done.stderr.strip()}")


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def main() -> None:
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if py_spy is None:
        sys.exit("Install py-spy first: pip install py-spy")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with scripted_installation() as bench:
        uvloop.run(profile(bench, py_spy, folder))


if __name__ == "__main__":
    main()
