"""The last place on the processor, for what computes while people chat; run as a script, it starts Python there.

A process of Ray takes seconds of the processor before it runs the first line of ours, so that one which steps back
by itself has disturbed conversations by then. Ray starts these through this script instead.
"""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

NICENESS = 19


def step_back() -> None:
    """For this process and what it starts: it computes when nobody else wants to, and gives way at once.

    Threads that run already stay where they are. Where the system has no such place, the highest niceness is all.
    """
    os.nice(NICENESS - os.nice(0))
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):  # a sandbox may forbid the call
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def background_environment() -> dict[str, Any]:
    """A `runtime_env` of Ray whose processes have stepped back before they import anything, and serve nothing else."""
    return {"py_executable": shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve())])}


if __name__ == "__main__":
    step_back()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - Ray's own command line
