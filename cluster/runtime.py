"""What a running installation leaves in its data folder: a lock, and who runs where."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from cluster.embedded.process import Running, SetupError, created_at, end_processes, family, write_private


@dataclass
class Part:
    """One process of ours; `created` tells it from a later process with the same pid."""

    name: str
    pid: int
    port: int
    created: float


@dataclass
class RunState:
    """The content of run.json."""

    pid: int
    created: float
    url: str = ""
    ready: bool = False
    local_engine: str = ""
    """The kind of engine that runs local weights."""
    parts: list[Part] = field(default_factory=list)

    def note(self, running: Running) -> None:
        """Add or replace a part."""
        self.parts = [part for part in self.parts if part.name != running.name]
        self.parts.append(Part(running.name, running.pid, running.port, created_at(running.pid)))

    def save(self, folder: Path) -> None:
        write_private(folder / "run.json", json.dumps(asdict(self), indent=1))


def new_state() -> RunState:
    own = psutil.Process()
    return RunState(own.pid, own.create_time())


def load_state(folder: Path) -> RunState | None:
    """What the last `up` noted, whether it still runs or not."""
    try:
        return TypeAdapter(RunState).validate_json((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return None


def process_of(pid: int, created: float) -> psutil.Process | None:
    """The process that was noted, or None when it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the installation; raises SetupError while another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError("Loquent runs already with this data folder; `loquent down` stops it.") from None
        yield


def end_leftovers(folder: Path) -> int:
    """Stop what an `up` that was killed left running; how many processes."""
    state = load_state(folder)
    if state is None:
        return 0
    found: list[psutil.Process] = []
    for part in state.parts:
        if part.created < psutil.boot_time():
            continue
        process = process_of(part.pid, part.created)
        found += family(part.pid, part.created) + ([] if process is None else [process])
    end_processes(found, seconds=10.0)
    (folder / "run.json").unlink(missing_ok=True)
    return len(found)
