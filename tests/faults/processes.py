"""Finds the processes of one installation by their titles, and kills, freezes and thaws them."""

import asyncio
import signal
import time
from collections.abc import Iterable

import psutil

from cluster.ray_head import session_folder
from tests.fixtures.platform import Platform

FIND_SECONDS = 60.0


def title_of(process: psutil.Process) -> str:
    """The command line; empty when the process is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def below(platform: Platform, *titles: str) -> list[psutil.Process]:
    """The installation's processes whose title begins with one of `titles`."""
    pid = platform.state().get("pid")
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [process for process in family if title_of(process).startswith(titles)]


def haproxies(platform: Platform) -> list[psutil.Process]:
    """HAProxy of this installation; it may have left its parent, so that its files tell whose it is."""
    files = str(session_folder(platform.folder))
    return [
        process
        for process in psutil.process_iter()
        if (words := title_of(process).split(" ", 1)) and words[0].endswith("haproxy") and files in words[-1]
    ]


async def found(platform: Platform, *titles: str) -> list[psutil.Process]:
    """The same as `below`, once there are any. Raises TimeoutError."""
    async with asyncio.timeout(FIND_SECONDS):
        while not (processes := below(platform, *titles)):
            await asyncio.sleep(0.1)
    return processes


def part(platform: Platform, name: str) -> psutil.Process:
    """A server of run.json by its name. Raises psutil.NoSuchProcess."""
    pid = next((part["pid"] for part in platform.state().get("parts", []) if part["name"] == name), 0)
    return psutil.Process(pid)


def family(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it, itself first."""
    return [process, *process.children(recursive=True)]


def kill(processes: Iterable[psutil.Process]) -> int:
    """SIGKILL; how many were there."""
    return _send(processes, signal.SIGKILL)


def freeze(processes: Iterable[psutil.Process]) -> int:
    return _send(processes, signal.SIGSTOP)


def thaw(processes: Iterable[psutil.Process]) -> int:
    return _send(processes, signal.SIGCONT)


def holder_of(processes: Iterable[psutil.Process], local_port: int) -> psutil.Process | None:
    """Which of `processes` has the TCP connection with that local port."""
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(connection.laddr and connection.laddr.port == local_port for connection in connections):
            return process
    return None


def await_gone(processes: Iterable[psutil.Process], seconds: float = 20.0) -> None:
    """Return when all have ended. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    for process in processes:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{process} did not end")
            time.sleep(0.02)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> int:
    reached = 0
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue
        reached += 1
    return reached
