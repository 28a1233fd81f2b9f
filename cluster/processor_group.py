"""One processor group for everything of an installation, where Linux would weigh its processes session by session."""

import os
from contextlib import suppress
from pathlib import Path

PREFIX = "loquent-"
AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
OWN_GROUPS = Path("/proc/self/cgroup")
CONTROLLER = Path("/sys/fs/cgroup/cpu")


def join_processor_group(
    autogroups: Path = AUTOGROUPS, own_groups: Path = OWN_GROUPS, controller: Path = CONTROLLER
) -> bool:
    """Put this process, and what it starts from now on, into a group of ours; whether that was needed and allowed.

    With autogroups (sched(7)) every session of the root group has the same share of the processor: all of Ray together
    as much as one PostgreSQL connection, and niceness counts only within. Then ingestion, niced as it is, delays
    conversations by hundreds of milliseconds. A process in a group of its own is not autogrouped. Only root may make
    one, in the first version of control groups; elsewhere sessions and containers are in groups already. Installations
    beside each other have one each: what computes in the background of one is no rival of another's conversations.
    """
    try:
        if autogroups.read_text("ascii").strip() != "1" or not _in_root_group(own_groups.read_text("utf-8")):
            return False
        remove_left_groups(controller)
        group = controller / f"{PREFIX}{os.getpid()}"
        group.mkdir()
        (group / "cgroup.procs").write_text(str(os.getpid()), "ascii")
    except OSError:
        return False
    return True


def leave_processor_group(controller: Path = CONTROLLER) -> None:
    """Go back, and remove the group when nobody else is in it."""
    with suppress(OSError):
        (controller / "cgroup.procs").write_text(str(os.getpid()), "ascii")
    remove_left_groups(controller)


def remove_left_groups(controller: Path) -> None:
    """Of installations that could not do it themselves; a group that somebody is in cannot be removed."""
    for group in controller.glob(f"{PREFIX}*"):
        with suppress(OSError):
            group.rmdir()


def _in_root_group(groups: str) -> bool:
    """Whether `cpu` of the first version is among them, and its group is the root. Source: cgroups(7)."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return path == "/"
    return False
