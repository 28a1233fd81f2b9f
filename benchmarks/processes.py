"""CPU time and memory of a set of processes: an installation with all its daemons, or a raw relay."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1024 * 1024


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything below it; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time, that of children which have ended and were waited for included."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(frozen=True)
class Memory:
    """In MiB; `pss` counts a page that n processes share as 1/n of it, `rss` counts it n times."""

    pss: float
    rss: float

    def per_thousand_since(self, before: "Memory", count: int) -> "Memory":
        """The growth for each thousand of `count` things."""
        return Memory((self.pss - before.pss) * 1000 / count, (self.rss - before.rss) * 1000 / count)


def memory(processes: Iterable[psutil.Process]) -> Memory:
    """Source: proc(5), /proc/[pid]/smaps_rollup."""
    pss = rss = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii").splitlines()
        except OSError:
            continue
        fields = dict(line.split(":") for line in lines[1:])
        pss += int(fields["Pss"].split()[0])
        rss += int(fields["Rss"].split()[0])
    return Memory(pss / 1024, rss / 1024)


def cpu_by_title(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """CPU seconds of processes by what they are, in a word or two."""
    seconds: dict[str, float] = {}
    for process in processes:
        try:
            words = process.cmdline() or [process.name()]
        except psutil.Error:
            continue
        first = words[0].removeprefix("ray::").split()[0].rsplit("/", 1)[-1].rsplit("loquent:", 1)[-1].rstrip(":")
        seconds[first] = seconds.get(first, 0.0) + cpu_seconds([process])
    return seconds


class CpuMeter:
    """CPU and wall seconds since it was made, of processes that are listed anew at every reading."""

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        self._processes = processes
        self._cpu, self._wall, self._own = cpu_seconds(processes()), time.perf_counter(), time.process_time()

    @property
    def cpu(self) -> float:
        return cpu_seconds(self._processes()) - self._cpu

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def client_cores(self) -> float:
        """How much of one core this process, the load client, took: near 1 it is the client that is measured."""
        return (time.process_time() - self._own) / self.wall
