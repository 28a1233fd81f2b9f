"""Which engine runs local weights on this machine, by what is installed, the processor and the memory."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cluster.memory import GIB, available_memory
from configs.engine_options import VllmOptions
from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec, ModelTable, load_models
from storage.models.store import SMOLLM2, resolve_gguf

CPU_INFO = Path("/proc/cpuinfo")
PLATFORM_BYTES = int(3.5 * GIB)
"""What everything takes beside the language model, while the demo is seeded: Ray, replicas, servers, workers."""
RUNTIME_BYTES = {"vllm": 2 * GIB, "llamacpp": int(0.4 * GIB)}
"""What an engine takes beside its weights and what it keeps of prompts.

Measured as proportional set size on Linux, x86-64: 3.4 GiB for vLLM with SmolLM2 and 1 GiB of kept prompts, in three
processes, of 6.9 GiB for the whole platform.
"""
SMOLLM2_BYTES = 270_000_000


@dataclass(frozen=True)
class Machine:
    """What the choice is made by."""

    installed: Callable[[str], bool]
    """Whether a package is there."""
    memory: int
    """Bytes that can be had."""
    processor: str = ""
    """Why vLLM cannot run on it; empty where it can."""


@dataclass(frozen=True)
class LocalEngine:
    kind: str
    """`vllm`, `llamacpp` or `none`, as the setting `local_engine`."""
    needs: int
    """Bytes of memory that the platform takes with it."""
    reason: str = ""
    """Why it is not vLLM, where nobody asked for another."""


def this_machine() -> Machine:
    return Machine(lambda name: find_spec(name) is not None, available_memory(), processor_problem())


def choose_local_engine(settings: Settings, machine: Machine) -> LocalEngine:
    """The engine that was asked for; with `auto` vLLM where it is installed and the processor and the memory are there
    for it, else llama.cpp where that can run a model of the table."""
    table = load_models(settings.models_file)
    kind, reason = settings.local_engine, ""
    if kind == "auto":
        reason = _against_vllm(table, machine)
        instead = machine.installed("xllamacpp") and _runs_in_llamacpp(table)
        kind = "llamacpp" if reason and (instead or not machine.installed("vllm")) else "vllm"
    return LocalEngine(kind, memory_needed(table, kind), reason if kind == "llamacpp" else "")


def _against_vllm(table: ModelTable, machine: Machine) -> str:
    needs = memory_needed(table, "vllm")
    if not machine.installed("vllm"):
        return "vLLM is not installed"
    if machine.processor:
        return machine.processor
    if _runs_in_llamacpp(table) and not any(table.models_of(name) for name in _engines(table, "vllm")):
        return "models.yaml has no model for vLLM"
    if machine.memory < needs:
        return f"{machine.memory / GIB:.1f} GiB of memory are free, and with vLLM it takes {needs / GIB:.1f}"
    return ""


def _runs_in_llamacpp(table: ModelTable) -> bool:
    models = [next(iter(found.values())) for name in _engines(table, "llamacpp") if (found := table.models_of(name))]
    return any(resolve_gguf(model.weights or "") for model in models)


def _engines(table: ModelTable, kind: str) -> list[str]:
    return [name for name, spec in table.engines.items() if spec.kind == kind]


def memory_needed(table: ModelTable, kind: str) -> int:
    """Bytes for the platform with every engine of the kind."""
    return PLATFORM_BYTES + sum(
        _engine_bytes(table.engines[name], next(iter(models.values())))
        for name in _engines(table, kind)
        if (models := table.models_of(name))
    )


def processor_problem() -> str:
    """Why vLLM does not run on this processor; empty where nothing is known against it."""
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64") or not CPU_INFO.exists():
        return ""
    flags = CPU_INFO.read_text("ascii", errors="replace").partition("flags")[2].partition("\n")[0].split()
    return "" if {"avx2", "avx512f"} & set(flags) else f"vLLM needs AVX2, which this {machine} does not have"


def _engine_bytes(spec: EngineSpec, model: ModelSpec) -> int:
    kept = VllmOptions.model_validate(spec.options).kv_cache_gib * GIB if spec.kind == "vllm" else 0
    return RUNTIME_BYTES[spec.kind] + kept + _weights_bytes(model.weights or "")


def _weights_bytes(weights: str) -> int:
    """As far as they are on disk; what is still to be downloaded is not known."""
    if weights == SMOLLM2:
        return SMOLLM2_BYTES
    path = Path(weights).expanduser()
    if path.is_dir():
        return sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return path.stat().st_size if path.is_file() else 0
