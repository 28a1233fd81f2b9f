"""A second Ray node beside the head of an installation, that actors and replicas move to, and that can be killed."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.embedded.process import Child, end_processes, free_port
from cluster.ray_head import OBJECT_STORE_BYTES, head_environment
from configs.ray_environment import with_environment
from tests.faults.processes import found, kill, title_of
from tests.fixtures.installation_folder import ROOT
from tests.fixtures.platform import Platform

CPUS = 4
START_SECONDS = 60.0
MOVE_SECONDS = 60.0
MOVED = ("ray::SessionHost", "ray::ServeReplica:loquent:LlmRouter", "ray::ServeReplica:loquent:LlmEngine")


class SecondNode:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._child: Child | None = None

    async def open(self) -> None:
        """Start the node, end what should move, and wait until a session host runs there. Raises TimeoutError."""
        environment = with_environment(head_environment(self._platform.folder))
        log = self._platform.folder / "logs" / "second-node.log"
        self._child = Child.start("Second node", self._command(), log=log, env=environment)
        with self._head_booked(environment) as filler:
            assert filler.stdout is not None
            async with asyncio.timeout(START_SECONDS):
                line = await asyncio.to_thread(filler.stdout.readline)
            if not line:
                raise TimeoutError(f"the second node did not come: {self._child.tail()}")
            kill(await found(self._platform, *MOVED))
            async with asyncio.timeout(MOVE_SECONDS):
                while not any(title_of(process).startswith(MOVED[0]) for process in self.moved()):
                    await asyncio.sleep(0.1)

    @contextmanager
    def _head_booked(self, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
        """The head's CPUs are taken meanwhile, because Ray packs a node before it takes the next."""
        filler = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.node_fill", self._address],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with filler:
            try:
                yield filler
            finally:
                filler.kill()

    def moved(self) -> list[psutil.Process]:
        """The actors and replicas of the application that run on this node."""
        members = self._child.members() if self._child else []
        return [process for process in members if title_of(process).startswith(MOVED)]

    def kill(self) -> int:
        """SIGKILL the raylet and everything below it; how many processes."""
        if self._child is None:
            return 0
        members = self._child.members()
        raylets = [process for process in members if "/raylet" in title_of(process).split(" ", 1)[0]]
        killed = kill(raylets) + kill(members) + kill([psutil.Process(self._child.pid)])
        self._child.stop(seconds=2.0)
        self._child = None
        return killed

    def close(self) -> None:
        """End what is left of it."""
        if self._child is not None:
            end_processes(self._child.members(), seconds=2.0)
            self._child.stop(seconds=2.0)
            self._child = None

    @property
    def _address(self) -> str:
        part = next(part for part in self._platform.state()["parts"] if part["name"] == "Ray")
        return f"127.0.0.1:{part['port']}"

    def _command(self) -> list[str | Path]:
        return [
            Path(sys.executable).with_name("ray"),
            "start",
            f"--address={self._address}",
            "--block",
            "--node-ip-address=127.0.0.1",
            f"--num-cpus={CPUS}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--metrics-export-port={free_port()}",
            f"--dashboard-agent-listen-port={free_port()}",
            "--disable-usage-stats",
        ]
