"""`make ingestion-faults`: seeded runs of ingestion with deaths at its stages, and one line for each.

`python -m tests.faults.ingestion_run [--seeds N] [--first-seed N] [--stages name,name]`
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cluster.embedded import EmbeddedPostgres, EmbeddedValkey
from configs.ray_environment import ray_environment
from configs.settings import Settings
from storage.postgres.database import Database
from storage.postgres.migrator import migrate, role_urls
from tests.fixtures.database import DATABASE_SECRET, MASTER_KEYS, new_vault
from tests.fixtures.installation_folder import ROOT

KILLS = 2
"""Stages of one run, of all in turn; a document that is killed three times fails."""


async def run_all(
    ray: Any, postgres_url: str, redis_url: str, folder: Path, seeds: range, stages: Sequence[str]
) -> int:
    """How many runs left something wrong."""
    # Not before Ray's environment is set.
    from tests.faults.ingestion_schedule import run_deaths
    from tests.fixtures.knowledge import KnowledgeBase

    await migrate(postgres_url, DATABASE_SECRET)
    urls, objects = role_urls(postgres_url, DATABASE_SECRET), str(folder / "objects")
    database = await Database.open(*urls, vault=new_vault())
    knowledge = KnowledgeBase(database, urls, objects)
    settings = Settings(
        object_store_url=objects,
        profile="test",
        redis_url=redis_url,
        secret_key=SecretStr(DATABASE_SECRET),
        master_keys=MASTER_KEYS,
    )
    broken = 0
    for seed in seeds:
        chosen = tuple(stages[(seed + step) % len(stages)] for step in range(min(KILLS, len(stages))))
        began = time.monotonic()
        try:
            wrong = await run_deaths(ray, knowledge, settings, seed, chosen)
        except TimeoutError:
            wrong = ["the job did not end"]
        broken += bool(wrong)
        seconds = time.monotonic() - began
        print(f"{seed:4} {'+'.join(chosen):16} {'; '.join(wrong) or 'whole'}, {seconds:.0f} s", flush=True)
    await database.close()
    return broken


def main(arguments: Sequence[str]) -> int:
    """Returns 1 when a run left something wrong."""
    os.environ.update({**ray_environment(), "RAY_AUTH_MODE": "disabled"})
    import ray

    from tests.faults.ingestion_deaths import STAGES

    parser = argparse.ArgumentParser(description="Kill ingestion at its stages, and check what is left.")
    parser.add_argument("--seeds", type=int, default=50, help="how many runs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--stages", default=",".join(STAGES), help="names, in turn over the seeds")
    options = parser.parse_args(arguments)
    stages = options.stages.split(",")
    if unknown := [name for name in stages if name not in STAGES]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loquent-ingestion-")))
        postgres, valkey = EmbeddedPostgres(folder / "postgres", durable=False), EmbeddedValkey(folder / "valkey")
        stack.callback(postgres.close)
        stack.callback(valkey.close)
        urls = postgres.open().url, valkey.open().url
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            namespace="loquent",
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        stack.callback(ray.shutdown)
        broken = asyncio.run(run_all(ray, *urls, folder, seeds, stages))
    print(f"{len(seeds)} runs, {broken} of them left something wrong")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
