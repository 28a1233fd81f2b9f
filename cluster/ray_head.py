"""The Ray head of a local installation, as a child process that we start and stop by pid."""

import hashlib
import os
import resource
import sys
import tempfile
from pathlib import Path

from cluster.embedded.process import (
    Child,
    Running,
    SetupError,
    await_ready,
    end_processes,
    free_port,
    port_is_free,
    remembered_secret,
)
from configs.ray_environment import ray_environment, with_environment

START_SECONDS = 90.0
LOGICAL_CPUS = 4
"""Ray books fractions of these; more than a small machine's cores, so that ingestion finds room beside chat."""
OBJECT_STORE_BYTES = 256 * 1024 * 1024
DESCRIPTORS_PER_CONNECTION, OWN_DESCRIPTORS = 2.5, 36
MAX_CONNECTIONS = 7_800


class RayHead:
    """GCS and raylet on 127.0.0.1 with ports of their own, so that other clusters on the machine do not matter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: Child | None = None
        self._port = 0
        # Ray puts sockets below it, whose paths may hold 107 characters.
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._session = Path(tempfile.gettempdir()) / f"loquent-{os.getuid()}-{digest}"

    @property
    def child(self) -> Child | None:
        return self._child

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def open(self) -> Running:
        """Start it and wait for its port; raises SetupError with the tail of its log."""
        self._port = free_port()
        log = self._folder / "logs" / "ray.log"
        self._child = Child.start("Ray", self._command(), log=log, env=with_environment(head_environment(self._folder)))
        try:
            await_ready(self._child, self._is_up, seconds=START_SECONDS)
        except BaseException:
            self.close()
            raise
        return Running("Ray", self.address, self._child.pid, self._port)

    def close(self) -> None:
        """End every process of this head. What the application had to keep is committed, so that nothing waits."""
        if self._child is not None:
            end_processes(self._child.members(), seconds=5.0)
            self._child.stop(seconds=2.0)
            self._child = None

    def _is_up(self) -> bool:
        return not port_is_free(self._port) and (self._session / "session_latest" / "sockets" / "raylet").exists()

    def _command(self) -> list[str | Path]:
        program = Path(sys.executable).with_name("ray")
        if not program.exists():
            raise SetupError("Ray is not installed; run `make run`, which installs it.")
        return [
            program,
            "start",
            "--head",
            "--block",
            "--node-ip-address=127.0.0.1",
            f"--port={self._port}",
            f"--num-cpus={LOGICAL_CPUS}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--include-dashboard=false",
            "--include-log-monitor=false",
            "--disable-usage-stats",
            f"--temp-dir={self._session}",
            f"--ray-client-server-port={free_port()}",
        ]


def head_environment(folder: Path) -> dict[str, str]:
    """Flags for the head and for the driver: connections that the limit of open files allows, and the cluster's token.

    Without a token every user of the machine could run code as us through the head's port.
    """
    remembered_secret(folder / "ray_token")
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = int((allowed - OWN_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION)
    if allowed == resource.RLIM_INFINITY:
        room = MAX_CONNECTIONS
    return {
        **ray_environment(max(100, min(MAX_CONNECTIONS, room))),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str((folder / "ray_token").resolve()),
    }
