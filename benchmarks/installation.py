"""A running installation with scripted engines, for measurements; everything else is as a user has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks.chat_load import WORD
from benchmarks.population import Population
from benchmarks.processes import tree
from cluster.embedded.process import family
from tests.fixtures.installation_folder import installation_folder
from tests.fixtures.platform import Platform

BURST_TOKENS, PACED_TOKENS, SHORT_TOKENS = 4000, 200, 64
RATE = 50.0


class PlainServe(Platform):
    program = "benchmarks.plain_serve"


@dataclass(frozen=True)
class Bench:
    platform: Platform
    population: Population
    models_file: Path

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to the installation, also what has left the process tree but not its session."""
        state = self.platform.state()
        found = {process.pid: process for process in tree(state["pid"])}
        for part in state["parts"]:
            found |= {process.pid: process for process in family(part["pid"], part["created"])}
        return list(found.values())


def write_models(folder: Path) -> Path:
    """A models.yaml with three engines of a token a step: long and as fast as it can, paced, and short."""
    scripts: dict[str, dict[str, str | int | float]] = {
        "burst": {"tokens": BURST_TOKENS},
        "paced": {"tokens": PACED_TOKENS, "tokens_per_second": RATE},
        "short": {"tokens": SHORT_TOKENS},
    }
    engines = {
        name: {"kind": "scripted", "max_running": 1024, "options": {"reply": WORD, "batch": 1, **script}}
        for name, script in scripts.items()
    }
    models = {name: {"engines": [name], "context_tokens": 8192} for name in engines}
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump({"engines": engines, "models": models}), "utf-8")
    return file


@contextmanager
def scripted_installation(kind: type[Platform] = Platform) -> Iterator[Bench]:
    """The whole platform in a new data folder."""
    with installation_folder("loquent-bench-") as folder:
        models_file = write_models(folder)
        settings = {
            "LOQUENT_MODELS_FILE": str(models_file),
            "LOQUENT_DEFAULT_MODEL": "short",
            "LOQUENT_LOCAL_ENGINE": "none",
        }
        platform = kind(folder, settings)
        try:
            platform.start()
            yield Bench(platform, Population(platform), models_file)
        finally:
            platform.stop()
