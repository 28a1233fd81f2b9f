"""Which engine runs local weights, on machines with given packages, processors and memory."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import memory
from cluster.local_engine import LocalEngine, Machine, choose_local_engine, memory_needed
from cluster.memory import GIB, container_room
from configs.settings import Settings
from configs.tables import load_models
from storage.models.store import shipped_gguf

BOTH = {"vllm", "xllamacpp"}
NEEDS = memory_needed(load_models(), "vllm")


def choice(free: float, installed: set[str] = BOTH, processor: str = "", **settings: Any) -> LocalEngine:
    machine = Machine(installed.__contains__, int(free), processor)
    return choose_local_engine(Settings(_env_file=None, **settings), machine)


def test_vllm_where_it_is_installed_and_the_memory_is_there() -> None:
    assert choice(NEEDS) == LocalEngine("vllm", NEEDS)
    assert choice(64 * GIB).reason == ""


def test_llamacpp_where_memory_is_short() -> None:
    found = choice(NEEDS - 1)
    assert found.kind == "llamacpp"
    assert found.needs < 4.5 * GIB < 6 * GIB < NEEDS
    assert f"takes {NEEDS / GIB:.1f}" in found.reason
    # With nothing else to run it in, vLLM is tried.
    assert choice(NEEDS - 1, {"vllm"}).kind == "vllm"


def test_llamacpp_where_vllm_cannot_run() -> None:
    assert choice(64 * GIB, {"xllamacpp"}) == LocalEngine(
        "llamacpp", memory_needed(load_models(), "llamacpp"), "vLLM is not installed"
    )
    assert choice(64 * GIB, processor="no AVX2").reason == "no AVX2"


def test_who_asks_gets_what_was_asked_for() -> None:
    assert choice(GIB, local_engine="vllm").kind == "vllm"
    assert choice(64 * GIB, local_engine="llamacpp").kind == "llamacpp"
    assert choice(64 * GIB, local_engine="llamacpp").reason == ""
    assert choice(GIB, local_engine="none").kind == "none"


def table(folder: Path, engines: dict[str, Any], weights: str) -> Path:
    file = folder / "models.yaml"
    models = {"m": {"engines": list(engines), "weights": weights, "context_tokens": 2048}}
    file.write_text(yaml.safe_dump({"engines": engines, "models": models}), "utf-8")
    return file


def test_bigger_weights_and_more_kept_prompts_need_more(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"")
    os.truncate(weights / "model.safetensors", 8 * GIB)  # a hole, which takes no room on disk
    small = load_models(table(tmp_path, {"v": {"kind": "vllm"}}, "smollm2-135m-instruct"))
    (tmp_path / "more").mkdir()
    engines = {"v": {"kind": "vllm", "options": {"kv_cache_gib": 4}}}
    big = load_models(table(tmp_path / "more", engines, str(weights)))
    grown = memory_needed(big, "vllm") - memory_needed(small, "vllm")
    assert grown == pytest.approx(11 * GIB, abs=GIB)


def test_the_table_decides_what_can_run_instead(tmp_path: Path) -> None:
    """Weights that llama.cpp cannot read stay with vLLM, and a table without vLLM's engines goes without it."""
    only_vllm = table(tmp_path, {"v": {"kind": "vllm"}}, "org/model")
    assert choice(GIB, models_file=only_vllm).kind == "vllm"
    (tmp_path / "other").mkdir()
    only_llama = table(tmp_path / "other", {"l": {"kind": "llamacpp"}}, str(shipped_gguf()))
    assert choice(64 * GIB, models_file=only_llama).kind == "llamacpp"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "own")
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n", "ascii")


def test_no_limit_is_endless(groups: Path) -> None:
    assert container_room() > 2**60
    write(groups, memory__max="max", memory__current=5)
    assert container_room() > 2**60


def test_the_tightest_limit_of_a_group_and_those_above_it_counts(groups: Path) -> None:
    (groups / "own").write_text("0::/pod/container\n", "ascii")
    write(groups / "pod", memory__max=6 * GIB, memory__current=GIB)
    write(groups / "pod" / "container", memory__max=8 * GIB, memory__current=GIB // 2)
    assert container_room() == 5 * GIB


def test_files_that_were_read_can_be_given_back(groups: Path) -> None:
    write(groups, memory__max=4 * GIB, memory__current=4 * GIB, memory__stat=f"anon 7\ninactive_file {3 * GIB}")
    assert container_room() == 3 * GIB


def test_the_first_version_of_groups_counts_too(groups: Path) -> None:
    (groups / "own").write_text("9:name=systemd:/\n4:cpu,memory:/docker/x\n", "ascii")
    limits = {"memory__limit_in_bytes": 3 * GIB, "memory__usage_in_bytes": GIB}
    write(groups / "memory" / "docker" / "x", **limits, memory__stat=f"total_inactive_file {GIB // 2}")
    assert container_room() == 3 * GIB - GIB + GIB // 2
