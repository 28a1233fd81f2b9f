"""Child processes that we start, watch and stop by their own pid."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


class SetupError(Exception):
    """Something on this machine is in the way; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Running:
    """A started server: where it answers and which process it is."""

    name: str
    url: str
    pid: int
    port: int


@dataclass(frozen=True)
class Login:
    """The operating-system user that a child runs as, when it may not be ours."""

    uid: int
    gid: int


class Child:
    """One child process in its own session, its output in a log file."""

    def __init__(self, name: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
        self.name = name
        self.log = log
        self._process = process
        self._created = created_at(process.pid)

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        login: Login | None = None,
    ) -> "Child":
        """Start `command`; raise SetupError when it cannot be executed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=None if env is None else dict(env),
                    start_new_session=True,  # Ctrl-C in the terminal reaches us only; we stop them in order
                    user=login.uid if login else None,
                    group=login.gid if login else None,
                    extra_groups=[] if login else None,
                )
            except OSError as error:
                raise SetupError(f"{name} cannot be started: {error.strerror or error}.") from error
        return cls(name, log, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def members(self) -> list[psutil.Process]:
        """Every other process that it started and that still runs, also when it has ended itself."""
        return family(self.pid, self._created)

    def stop(self, first: signal.Signals = signal.SIGTERM, *, seconds: float = 15.0) -> None:
        """Ask it to end, wait, and kill what is left of its session after the deadline."""
        members = self.members()
        if self.exit_code is None:
            self._process.send_signal(first)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        if self.exit_code is None:
            self._process.kill()
            self._process.wait()
        end_processes(members, seconds=3.0)

    def tail(self, lines: int = 3) -> str:
        """The last lines of its log, for a message."""
        try:
            text = self.log.read_text("utf-8", errors="replace")
        except OSError:
            return ""
        return " / ".join(line.strip() for line in text.splitlines()[-lines:])


def created_at(pid: int) -> float:
    """When a process started, in seconds of the epoch; 0 when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def family(pid: int, created: float) -> list[psutil.Process]:
    """What the session leader `pid`, started at `created`, has started: its descendants and its session's members.

    The session outlives its leader, and the system gives the pid to nobody else while it does: when another process
    has the pid, nothing of ours is left.
    """
    found: dict[int, psutil.Process] = {}
    if psutil.pid_exists(pid):
        if abs(created_at(pid) - created) >= 1.0:
            return []
        with contextlib.suppress(psutil.Error):
            found = {process.pid: process for process in psutil.Process(pid).children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.pid != pid and os.getsid(process.pid) == pid and process.create_time() >= created - 1.0:
                found.setdefault(process.pid, process)
    return list(found.values())


def end_processes(processes: Sequence[psutil.Process], *, seconds: float) -> None:
    """Terminate these processes, wait, then kill the rest; those already gone are fine."""
    alive = [process for process in processes if process.is_running()]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=3.0)


def await_ready(child: Child, probe: Callable[[], bool], *, seconds: float) -> None:
    """Poll `probe` until it is true; raise SetupError when the child dies or the time is over."""
    deadline = time.monotonic() + seconds
    while not probe():
        if child.exit_code is not None:
            raise SetupError(f"{child.name} ended while starting ({child.tail()}); its log is {child.log}.")
        if time.monotonic() > deadline:
            raise SetupError(f"{child.name} did not answer within {seconds:.0f} s; its log is {child.log}.")
        time.sleep(0.02)


SERVER_PORTS = range(20_000, 30_000)
"""Above Ray's worker ports, below those of Serve and the system's outgoing connections."""
PORT_TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A port below those that outgoing connections take: a server that dies must get its port back.

    While it is down, a client that tries and tries could even be connected to itself.
    """
    for _ in range(PORT_TRIES):
        port = secrets.choice(SERVER_PORTS)
        if port_is_free(port, host):
            return port
    raise SetupError(f"No port from {SERVER_PORTS.start} to {SERVER_PORTS.stop - 1} is free.")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_port(port: int, purpose: str, setting: str, host: str = "127.0.0.1") -> None:
    """Raise SetupError when somebody else listens on `port`."""
    if not port_is_free(port, host):
        raise SetupError(f"Port {port} for {purpose} is taken by another program; stop it or set {setting}.")


def remembered_port(file: Path) -> int:
    """The port noted in `file` while it is still free, else a new free one, noted for the next time."""
    try:
        port = int(file.read_text("ascii"))
    except (OSError, ValueError):
        port = 0
    if not (1024 <= port <= 65_535 and port_is_free(port)):
        port = free_port()
        write_private(file, str(port))
    return port


def remembered_secret(file: Path, make: Callable[[], str] = secrets.token_urlsafe) -> str:
    """The secret in `file`, made on first use; readable by its owner only."""
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        text = ""
    except (OSError, ValueError) as error:
        raise SetupError(f"The secret in {file} cannot be read ({error}).") from error
    if not text:
        text = make()
        write_private(file, text)
    return text


def write_private(file: Path, text: str) -> None:
    """Write `file` whole or not at all, with mode 0600."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(file)
