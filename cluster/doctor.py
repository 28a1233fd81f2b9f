"""`loquent doctor`: what this machine must have, checked in under a second and without importing anything heavy."""

import platform
import resource
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cluster.embedded.process import port_is_free
from cluster.local_engine import LocalEngine, Machine, choose_local_engine, processor_problem, this_machine
from cluster.memory import GIB
from cluster.ray_head import DESCRIPTORS_PER_CONNECTION, MAX_CONNECTIONS, OWN_DESCRIPTORS
from cluster.runtime import load_state, process_of
from configs.settings import Settings
from pipelines.parsing import recognition
from storage.models.encoder_choice import load_choice, processor
from storage.models.encoder_spec import encoder_folder
from storage.models.store import MINILM, embedding_weights, is_prepared

LEAST_DISK = 2 * GIB
LEAST_CONNECTIONS = 100
MISMATCHED = ("torchvision", "torchaudio", "torchcodec")
"""Their wheels are built against another torch; vLLM imports them when they are there, and fails."""
PAGE = Path(__file__).parents[1] / "web" / "dist" / "index.html"


@dataclass(frozen=True)
class Finding:
    """One check: `detail` says what is there, `remedy` what to do when it is not ok."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which a person should read them. A failing check is a finding, never an error."""
    machine, state = this_machine(), load_state(settings.root)
    running = state is not None and process_of(state.pid, state.created) is not None
    if running and state is not None and state.local_engine:
        # It was chosen when there was more room.
        settings = settings.model_copy(update={"local_engine": state.local_engine})
    engine = choose_local_engine(settings, machine)
    return [
        _python(),
        _disk(settings),
        _memory(engine, machine, running),
        _open_files(),
        _port(settings),
        _local_engine(engine),
        _processor(engine),
        _models(settings),
        _encoder(settings),
        _recognition(settings),
        _page(),
    ]


def max_connections_for(nofile: int) -> int:
    """Sockets that one HAProxy can hold under a limit of open files; never more than it is set up for."""
    return max(0, min(MAX_CONNECTIONS, int((nofile - OWN_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION)))


def _python() -> Finding:
    found = platform.python_version()
    return Finding(
        "Python", sys.version_info[:2] == (3, 11), found, "The pinned packages are for 3.11: run `make run`."
    )


def _disk(settings: Settings) -> Finding:
    folder = settings.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding("Disk", free >= LEAST_DISK, f"{free / GIB:.1f} GiB free", f"Make {LEAST_DISK // GIB} GiB of room.")


def _memory(engine: LocalEngine, machine: Machine, running: bool) -> Finding:
    return Finding(
        "Memory",
        running or machine.memory >= engine.needs,
        f"{machine.memory / GIB:.1f} GiB available" + (" beside the running installation" if running else ""),
        f"Close other programs until {engine.needs / GIB:.1f} GiB are free"
        + ("." if engine.kind == "llamacpp" else ", or set LOQUENT_LOCAL_ENGINE=llamacpp."),
    )


def _open_files() -> Finding:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # `loquent up` raises its soft limit as far as it may
    endless = limit == resource.RLIM_INFINITY
    allowed = MAX_CONNECTIONS if endless else max_connections_for(limit)
    return Finding(
        "Open files",
        allowed >= LEAST_CONNECTIONS,
        f"{'no limit' if endless else f'limit {limit}'}, which allows {allowed} open sockets",
        "Raise the hard limit, as root with `ulimit -Hn 65536`.",
    )


def _port(settings: Settings) -> Finding:
    name, port = "Port", settings.port
    if port_is_free(port, "0.0.0.0"):  # noqa: S104 - what HAProxy will bind
        return Finding(name, True, f"{port} is free")
    state = load_state(settings.root)
    if state is not None and process_of(state.pid, state.created) and state.url.endswith(f":{port}"):
        return Finding(name, True, f"{port} is used by the running installation")
    return Finding(
        name, False, f"{port} is taken by another program", "Stop that program, or set LOQUENT_PORT to another port."
    )


def _local_engine(engine: LocalEngine) -> Finding:
    name, reinstall = "Local model", "Install again with `make run`."
    if engine.kind == "none":
        return Finding(name, True, "switched off")
    if engine.kind == "llamacpp":
        why = f", because {engine.reason}" if engine.reason else ""
        return Finding(name, find_spec("xllamacpp") is not None, f"llama.cpp (xllamacpp){why}", reinstall)
    missing = [package for package in ("vllm", "torch") if find_spec(package) is None]
    if missing:
        return Finding(name, False, f"{missing[0]} is not installed", reinstall)
    in_the_way = [package for package in MISMATCHED if find_spec(package) is not None]
    return Finding(
        name,
        not in_the_way,
        f"vLLM with {', '.join(in_the_way)}, which it cannot import" if in_the_way else "vLLM",
        f"Remove what is in the way: .venv/bin/pip uninstall {' '.join(in_the_way)}",
    )


def _processor(engine: LocalEngine) -> Finding:
    problem = processor_problem()
    return Finding(
        "Processor",
        not problem or engine.kind != "vllm",
        problem or platform.machine(),
        "Set LOQUENT_LOCAL_ENGINE=llamacpp, or use a provider.",
    )


def _models(settings: Settings) -> Finding:
    embedding_shipped = settings.embedding_model != MINILM or embedding_weights(settings) != MINILM
    if not embedding_shipped:
        return Finding("Models", False, f"the weights of {MINILM} are missing", "Install again with `make run`.")
    ready = is_prepared(settings)
    return Finding(
        "Models", ready, "prepared" if ready else "not prepared yet", "`make run` prepares them at its first start."
    )


def _encoder(settings: Settings) -> Finding:
    """Never a fault: where nothing was tried, torch runs the model."""
    name = "Embeddings"
    if settings.embedding_backend == "remote":
        return Finding(name, True, f"{settings.embedding_model}, remote")
    choice = load_choice(encoder_folder(settings))
    if choice is None or settings.embedding_backend == "torch":
        return Finding(name, True, "torch")
    asked = None if settings.embedding_backend == "auto" else settings.embedding_backend
    best, exact = choice.best(asked), choice.trials[0]
    others = [f"{one.name} {one.texts_per_second:.0f}/s" for one in choice.trials if one.passes and one != best]
    refused = [one.name for one in choice.trials if not one.passes]
    detail = f"{best.name}, {best.texts_per_second:.0f} passages a second, recall {best.recall:.3f} of {exact.name}"
    detail += f" (also {', '.join(others)})" if others else ""
    detail += f"; not good enough: {', '.join(refused)}" if refused else ""
    if choice.processor != processor():
        detail += "; measured on another processor"
    return Finding(name, True, detail)


def _recognition(settings: Settings) -> Finding:
    name, installed = "Scanned pages", recognition.is_installed()
    if settings.ocr == "off":
        return Finding(name, True, "not recognised: switched off")
    return Finding(
        name,
        installed or settings.ocr == "auto",
        "their text is recognised" if installed else "not recognised: the extra `ocr` is not installed",
        "Install it with `make ocr`, or set LOQUENT_OCR=auto.",
    )


def _page() -> Finding:
    built = PAGE.is_file()
    return Finding("Chat page", built, "built" if built else "not built", "Build it with `make run`.")
