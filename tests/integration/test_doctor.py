"""The doctor against this machine, and against machines that lack something."""

import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import doctor, local_engine
from cluster.doctor import Finding, examine, max_connections_for
from cluster.embedded.process import Running, free_port
from cluster.memory import GIB
from cluster.runtime import new_state
from configs.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "not" / "there" / "yet", port=free_port())


def find(name: str, settings: Settings) -> Finding:
    return next(finding for finding in examine(settings) if finding.name == name)


def test_every_check_says_what_it_found_and_what_to_do(settings: Settings) -> None:
    findings = examine(settings)
    assert len({finding.name for finding in findings}) == len(findings) == 11
    for finding in findings:
        assert finding.detail
        assert finding.ok or finding.remedy.strip()


def test_a_taken_port_is_a_clear_finding(settings: Settings) -> None:
    assert find("Port", settings).ok
    with socket.create_server(("127.0.0.1", settings.port)):
        taken = find("Port", settings)
    assert not taken.ok
    assert str(settings.port) in taken.detail
    assert "LOQUENT_PORT" in taken.remedy


def test_the_port_of_the_running_installation_is_no_problem(settings: Settings) -> None:
    settings.root.mkdir(parents=True)
    state = new_state()
    state.url = f"http://127.0.0.1:{settings.port}"
    state.note(Running("Ray", "127.0.0.1:1", state.pid, 1))
    state.save(settings.root)
    with socket.create_server(("127.0.0.1", settings.port)):
        assert find("Port", settings).ok


@pytest.mark.parametrize(
    ("nofile", "sockets"),
    [(65_536, 7_800), (19_536, 7_800), (19_535, 7_799), (1_024, 395), (286, 100), (36, 0), (8, 0)],
)
def test_a_low_limit_of_open_files_lowers_the_sockets(nofile: int, sockets: int) -> None:
    allowed = max_connections_for(nofile)
    assert allowed == sockets
    assert allowed == 0 or allowed * 2.5 + 36 <= nofile


def test_no_limit_of_open_files_is_fine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert find("Open files", settings).ok
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    assert "ulimit" in find("Open files", settings).remedy
    assert not find("Open files", settings).ok


def packages(**present: bool) -> Callable[[str], object]:
    return lambda name: object() if present.get(name) else None


@pytest.mark.parametrize(
    ("present", "ok", "word"),
    [
        ({"vllm": True, "torch": True}, True, "vLLM"),
        ({"vllm": True, "torch": True, "torchvision": True, "torchcodec": True}, False, "torchvision, torchcodec"),
        ({"vllm": True}, False, "torch is not installed"),
        ({"xllamacpp": True}, True, "llama.cpp"),
        ({}, False, "llama.cpp"),
    ],
)
def test_what_breaks_the_local_engine_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, present: dict[str, bool], ok: bool, word: str
) -> None:
    monkeypatch.setattr(doctor, "find_spec", packages(**present))
    monkeypatch.setattr(local_engine, "find_spec", packages(**present))
    monkeypatch.setattr(local_engine, "available_memory", lambda: 16 * GIB)
    finding = find("Local model", settings)
    assert (finding.ok, word in finding.detail) == (ok, True)


def test_an_old_processor_is_a_finding_unless_another_engine_is_chosen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(local_engine, "CPU_INFO", info)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    info.write_text("model name\t: new\nflags\t\t: fpu avx avx2\n\nflags : fpu\n")
    assert find("Processor", settings).ok
    info.write_text("model name\t: old\nflags\t\t: fpu avx\n")
    assert not find("Processor", settings.model_copy(update={"local_engine": "vllm"})).ok
    assert find("Processor", settings.model_copy(update={"local_engine": "llamacpp"})).ok
    assert find("Processor", settings).ok
    assert "AVX2" in find("Local model", settings).detail


def test_where_memory_is_short_llamacpp_runs_the_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "available_memory", lambda: 5 * GIB)
    found = find("Local model", settings)
    assert found.ok
    assert "llama.cpp" in found.detail
    assert "5.0 GiB of memory" in found.detail
    assert find("Memory", settings).ok
    asked = settings.model_copy(update={"local_engine": "vllm"})
    assert find("Local model", asked).detail == "vLLM"
    assert not find("Memory", asked).ok
    monkeypatch.setattr(local_engine, "available_memory", lambda: GIB)
    assert not find("Memory", settings).ok


def test_what_runs_is_what_was_chosen_when_it_started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "available_memory", lambda: GIB)
    settings.root.mkdir(parents=True)
    state = new_state()
    state.local_engine = "vllm"
    state.save(settings.root)
    assert find("Local model", settings).detail == "vLLM"
    assert find("Memory", settings).ok
