"""How much memory this machine, or the container it is, can still give."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

GIB = 1024**3
CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class _Version:
    """Where a version of control groups keeps its numbers, and under which name what can be given back at once."""

    root: str
    limit: str
    used: str
    reclaimable: str


_VERSIONS = {
    "": _Version("", "memory.max", "memory.current", "inactive_file"),
    "memory": _Version("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By the controller that a line of /proc/self/cgroup names: none in version 2."""


def available_memory() -> int:
    """In bytes: what is free on the machine, or the less that the limits of its container leave."""
    return min(psutil.virtual_memory().available, container_room())


def container_room() -> int:
    """Bytes left under the limits of this process's control groups; effectively endless where there are none.

    Source: cgroup(7), the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
    """
    rooms = [_room(version, folder) for version, folder in _folders()]
    return min((room for room in rooms if room is not None), default=sys.maxsize)


def _folders() -> list[tuple[_Version, Path]]:
    """From our own group up to the root: each may have a limit of its own. A container sees its own as the root."""
    found = [(version, CGROUP / version.root) for version in _VERSIONS.values()]
    try:
        lines = OWN_CGROUP.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            if name in _VERSIONS:
                version, folder = _VERSIONS[name], Path(path.strip("/"))
                above = [folder, *folder.parents] if folder.parts else []
                found += [(version, CGROUP / version.root / one) for one in above]
    return found


def _room(version: _Version, folder: Path) -> int | None:
    """None without a limit. Files that were read and are not in use count as free."""
    try:
        limit, used = (int((folder / name).read_text("ascii")) for name in (version.limit, version.used))
    except (OSError, ValueError):
        return None
    try:
        stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
        used -= int(stat.get(version.reclaimable, 0))
    except (OSError, ValueError):
        pass
    return max(0, limit - max(0, used))
