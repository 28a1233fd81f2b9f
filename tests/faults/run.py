"""`make faults`: hundreds of seeded runs on one installation; a JSON line for each, and the table in RESULTS.md.

`python -m tests.faults.run [--seeds N] [--first-seed N] [--faults name,name] [--log FILE] [--go-on] [--no-results]`
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx
import psycopg

from cluster.embedded.process import SetupError
from tests.faults.faults import FAULTS
from tests.faults.report import table, write
from tests.faults.schedule import Outcome, drift_of, run_schedule
from tests.faults.world import World, open_world
from tests.fixtures.installation_folder import ROOT

TENANTS, SESSIONS = 4, 4
LOG = ROOT / ".loquent" / "faults.jsonl"


async def run_all(schedules: Sequence[tuple[int, str]], log: Path) -> list[Outcome]:
    """Every (seed, fault) in order; an installation that did not heal is replaced by a new one.

    The journal of a run with violations is kept beside the log.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(schedules):
        async with open_world(TENANTS) as world:
            for seed, fault in schedules[len(outcomes) :]:
                outcome = await _run(world, seed, fault)
                outcomes.append(outcome)
                _note(outcome, log)
                if outcome.violations:
                    evidence = log.with_name(f"{log.stem}-{seed}-{fault}.json")
                    evidence.write_text(json.dumps(asdict(world.journal), default=str), "utf-8")
                if not outcome.healed:
                    break
    return outcomes


async def _run(world: World, seed: int, fault: str) -> Outcome:
    try:
        return await run_schedule(world, seed, fault, SESSIONS, await drift_of(world))
    except (OSError, SetupError, httpx.HTTPError, psycopg.OperationalError) as error:
        return Outcome(seed, fault, violations=[f"R the run could not go on: {error!r}"])


def _note(outcome: Outcome, log: Path) -> None:
    with log.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(outcome.line()) + "\n")
    print(_summary(outcome), flush=True)


def _logged(log: Path) -> list[Outcome]:
    """The runs of an earlier call, none without a log."""
    if not log.exists():
        return []
    return [Outcome(**json.loads(line)) for line in log.read_text("utf-8").splitlines()]


def _summary(outcome: Outcome) -> str:
    result = f"recovered in {outcome.recovery} s" if outcome.recovery is not None else outcome.not_injected or "broken"
    lines = [f"{outcome.seed:4} {outcome.fault:28} {result}, {outcome.acknowledged} acknowledged, {outcome.seconds} s"]
    return "\n".join([*lines, *(f"     {violation}" for violation in outcome.violations)])


def main(arguments: Sequence[str]) -> int:
    """Returns 1 when an invariant was violated."""
    parser = argparse.ArgumentParser(description="Kill and freeze processes under load, and check what is left.")
    parser.add_argument("--seeds", type=int, default=200, help="how many runs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--faults", default=",".join(FAULTS), help="names, in turn over the seeds")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--go-on", action="store_true", help="count the runs that the log has too")
    parser.add_argument("--no-results", action="store_true", help="leave benchmarks/RESULTS.md as it is")
    options = parser.parse_args(arguments)
    names = options.faults.split(",")
    if unknown := [name for name in names if name not in FAULTS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    if not options.go_on:
        options.log.unlink(missing_ok=True)
    earlier = _logged(options.log)
    began = time.monotonic()
    outcomes = earlier + asyncio.run(run_all([(seed, names[seed % len(names)]) for seed in seeds], options.log))
    print(
        f"\n{table(outcomes)}\n\n{len(outcomes) - len(earlier)} runs in {time.monotonic() - began:.0f} s; {options.log}"
    )
    if not options.no_results:
        write(outcomes)
    return int(any(outcome.violations for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
