"""The Ray head of a local installation, as a child process that we start and stop by pid."""

import hashlib
import os
import resource
import shutil
import sys
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
        self.environment = head_environment(folder)
        """For the driver too: it must agree with the head."""
        self._child: Child | None = None
        self._port = 0
        self._session = session_folder(folder)

    @property
    def child(self) -> Child | None:
        return self._child

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def open(self) -> Running:
        """Start it and wait for its port; raises SetupError with the tail of its log."""
        self._port = free_port()
        forget_sessions(self._session)
        log = self._folder / "logs" / "ray.log"
        self._child = Child.start("Ray", self._command(), log=log, env=with_environment(self.environment))
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


def session_folder(folder: Path) -> Path:
    """Where Ray and HAProxy keep sockets and logs: short, because the path of a socket may hold 107 characters."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return Path("/tmp") / f"loquent-{os.getuid()}-{digest}"  # noqa: S108 - of this user and installation only


def forget_sessions(session: Path, keep: int = 2) -> None:
    """Remove the logs of all but the last `keep` runs."""
    for old in sorted(session.glob("session_2*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


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
        **proxy_environment(session_folder(folder) / "ha"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str((folder / "ray_token").resolve()),
    }


def proxy_environment(folder: Path) -> dict[str, str]:
    """Files and ports of HAProxy that no other installation or user of the machine has."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
    }
