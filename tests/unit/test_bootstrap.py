"""The set-up's decisions: what is due, what a failure means, which Python and which Node will do."""

import sys
from pathlib import Path

import pytest

from cluster.setup import bootstrap
from cluster.setup.bootstrap import Bootstrap, SetupFailure, Stamp, digest_of, explain, main, python_problem

NO_NETWORK_LOG = """
WARNING: Retrying after NewConnectionError('Failed to establish a new connection: [Errno -2] Name or service not known')
ERROR: Could not find a version that satisfies the requirement rich==15.0.0 (from versions: none)
ERROR: No matching distribution found for rich==15.0.0
"""


@pytest.mark.parametrize("version", [(3, 10, 12), (3, 12, 0), (2, 7, 18), (4, 11, 0)])
def test_another_python_is_refused_with_its_number(version: tuple[int, ...]) -> None:
    problem = python_problem(version)
    assert problem is not None
    assert "3.11" in problem
    assert ".".join(map(str, version)) in problem


def test_python_3_11_is_taken() -> None:
    assert python_problem((3, 11, 0)) is None


def test_a_wrong_python_ends_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    assert main(["--data-dir", str(tmp_path / "data")]) == 1
    assert "this is 3.9.1" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("log", "meaning"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("npm error code ENOSPC", "disk is full"),
        (NO_NETWORK_LOG, "cannot be reached"),
        ("npm error code EAI_AGAIN\nnpm error errno EAI_AGAIN", "cannot be reached"),
        ("ERROR: No matching distribution found for triton==3.9.0", "not on the configured index"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that was pinned"),
        ("ERROR: Could not install packages: [Errno 13] Permission denied: '/x'", "cannot be written"),
        ("SSLError(SSLCertVerificationError(1, 'certificate verify failed: self-signed'))", "not trusted"),
        ("Collecting a\nERROR: a.whl is not a supported wheel.\nWARNING: old", "a.whl is not a supported wheel"),
        ("npm error Missing script: build", "Missing script: build"),
        ("", "the reason is in the log"),
    ],
)
def test_a_failed_log_becomes_a_sentence(log: str, meaning: str) -> None:
    said = explain(log)
    assert meaning in said
    assert "\n" not in said
    assert not said.endswith(".")


def test_a_stamp_holds_only_for_its_own_value(tmp_path: Path) -> None:
    first = Stamp(tmp_path / ".stamp", "a" * 64)
    assert not first.holds()
    first.write()
    assert first.holds()
    assert not Stamp(tmp_path / ".stamp", "b" * 64).holds()
    (tmp_path / ".stamp").write_bytes(b"\xff\x00half")
    assert not first.holds()


def test_the_digest_follows_content_names_and_words(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    page = tmp_path / "src" / "deep" / "page.tsx"
    page.write_text("one")
    inputs = [tmp_path / "src", tmp_path / "package.json"]
    seen = {digest_of(inputs, "3.11")}
    assert digest_of(inputs, "3.11") in seen
    seen.add(digest_of(inputs, "3.12"))
    page.write_text("two")
    seen.add(digest_of(inputs, "3.11"))
    page.rename(page.with_name("other.tsx"))
    seen.add(digest_of(inputs, "3.11"))
    (tmp_path / "package.json").write_text("{}")
    seen.add(digest_of(inputs, "3.11"))
    assert len(seen) == 5


class Recorded(Bootstrap):
    """The real order and stamps over a folder of its own; programs are noted instead of started."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, root / "data" / "setup.log")
        self.calls: list[str] = []
        self.failing = ""

    def _call(self, name: str, command: object, *, cwd: Path | None = None) -> None:
        self.calls.append(name)
        if name == self.failing:
            raise SetupFailure(f"The step {name!r} failed")
        if name == "venv":
            (self._venv / "bin").mkdir(parents=True, exist_ok=True)
            self._python.touch()
        if name == "web":
            self._page.parent.mkdir(parents=True, exist_ok=True)
            self._page.touch()

    def _venv_works(self) -> bool:
        return self._python.exists()

    def _find_node(self) -> tuple[list[str], list[str]]:
        return ["npm"], ["/bin"]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "NEEDED_GIB", 0)
    (tmp_path / "requirements").mkdir()
    for name in ("torch", "hashed", "runtime", "ocr-models", "ocr", "dev"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package.json").write_text("{}")
    return tmp_path


def calls_of(source: Path, *, dev: bool = False, ocr: bool = False) -> list[str]:
    run = Recorded(source)
    run.run(dev=dev, ocr=ocr)
    return run.calls


def test_the_second_run_does_nothing_and_test_tools_come_on_top(source: Path) -> None:
    assert calls_of(source) == ["venv", "torch", "hashed", "runtime", "project", "web", "web"]
    assert calls_of(source) == []
    assert calls_of(source, ocr=True) == ["ocr-models", "ocr"]
    assert calls_of(source, dev=True) == ["dev"]
    assert calls_of(source, dev=True, ocr=True) == []


def test_only_what_changed_is_done_again(source: Path) -> None:
    calls_of(source)
    (source / "requirements" / "runtime.txt").write_text("runtime==2\n")
    assert calls_of(source) == ["runtime"]
    (source / "web" / "src").mkdir()
    (source / "web" / "src" / "page.tsx").write_text("page")
    assert calls_of(source) == ["web", "web"]
    (source / "web" / "dist" / "index.html").unlink()
    assert calls_of(source) == ["web", "web"]


def test_a_failed_step_is_taken_up_again(source: Path) -> None:
    run = Recorded(source)
    run.failing = "runtime"
    with pytest.raises(SetupFailure, match="runtime"):
        run.run(dev=False)
    assert run.calls == ["venv", "torch", "hashed", "runtime"]
    assert calls_of(source) == ["runtime", "project", "web", "web"]


def test_a_venv_that_lost_its_python_is_made_again(source: Path) -> None:
    calls_of(source)
    (source / ".venv" / "bin" / "python").unlink()
    assert calls_of(source)[0] == "venv"


def test_a_half_installed_package_is_forgotten(source: Path) -> None:
    calls_of(source)
    packages = source / ".venv" / "lib" / "python3.11" / "site-packages"
    for name, installer in (("half", False), ("whole", True)):
        (packages / f"{name}-1.dist-info").mkdir(parents=True)
        (packages / f"{name}-1.dist-info" / "METADATA").touch()
        if installer:
            (packages / f"{name}-1.dist-info" / "INSTALLER").write_text("pip")
    (source / "requirements" / "runtime.txt").write_text("runtime==2\n")
    calls_of(source)
    assert [path.name for path in packages.iterdir()] == ["whole-1.dist-info"]


def test_torch_comes_from_its_own_index_where_the_configured_ones_lack_it(source: Path) -> None:
    run = Recorded(source)
    run.failing = "torch"
    with pytest.raises(SetupFailure):
        run.run(dev=False)
    assert run.calls == ["venv", "torch", "torch"]


def test_a_full_disk_is_said_before_anything_is_downloaded(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_GIB", 10**9)
    with pytest.raises(SetupFailure, match="GiB are free"):
        calls_of(source)


def test_every_requirement_is_pinned_and_none_twice() -> None:
    names: list[str] = []
    for file in sorted((bootstrap.ROOT / "requirements").glob("*.txt")):
        for line in file.read_text("utf-8").splitlines():
            if line and not line.startswith(("#", " ")):
                name, _, version = line.partition("==")
                assert version, line
                names.append(f"{file.stem}:{name.lower().replace('_', '-')}")
    bare = [name.partition(":")[2] for name in names if name != "torch:torch"]
    assert len(bare) == len(set(bare))
    assert not {"torchvision", "torchaudio", "torchcodec", "llm", "llama-cpp-python"} & set(bare)
