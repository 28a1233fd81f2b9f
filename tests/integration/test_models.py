"""Preparation of the shipped models survives interruptions, and everything finds what it made."""

import subprocess
import sys
from pathlib import Path

import pytest

from configs.settings import Settings
from domain.errors import InvalidInput, Unavailable
from storage.models import prepare
from storage.models.encoder_choice import CHOICE, Choice, fingerprint_of
from storage.models.prepare import prepare_models
from storage.models.store import (
    MINILM,
    SMOLLM2,
    embedding_weights,
    is_prepared,
    prepared_dir,
    resolve_gguf,
    resolve_weights,
)
from storage.models.tokenizer import load_token_counter
from tests.fixtures.engines import write_models
from tests.fixtures.installation_folder import ROOT

ENCODERS = f"embedding-{MINILM}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Conversions that only write a small file, and encoders that none tries; the list has the folders of both."""
    made: list[Path] = []

    def convert(source: Path, target: Path) -> None:
        made.append(target)
        (target / "model.safetensors").write_bytes(b"weights")

    def try_encoders(weights: str, target: Path) -> None:
        made.append(target)
        choice = Choice(fingerprint=fingerprint_of(weights), processor="none", trials=())
        (target / CHOICE).write_text(choice.model_dump_json())

    monkeypatch.setattr(prepare, "_convert_in_process", convert)
    monkeypatch.setattr(prepare, "_try_encoders", try_encoders)
    return made


def folders(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.models_dir.iterdir() if path.is_dir())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_conversion_has_all_that_an_engine_needs(prepared_data_dir: Path) -> None:
    settings = Settings(_env_file=None, data_dir=prepared_data_dir)
    folder = Path(resolve_weights(settings, SMOLLM2))
    assert (folder / "model.safetensors").stat().st_size > 200_000_000
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text("utf-8")
    assert (folder / "config.json").is_file()
    assert resolve_gguf(SMOLLM2) is not None
    counter = load_token_counter(settings, "default")
    assert counter.count("Hello world") == 2
    assert counter.count("<|im_end|>") > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_when_prepared_nothing_heavy_is_imported(prepared_data_dir: Path) -> None:
    code = (
        "import sys\n"
        "from configs.settings import Settings\n"
        "from storage.models.prepare import prepare_models\n"
        "from storage.models.tokenizer import load_token_counter\n"
        "settings = Settings(_env_file=None, data_dir=sys.argv[1])\n"
        "prepare_models(settings, print)\n"
        "load_token_counter(settings, 'default').count('x')\n"
        "print([name for name in ('torch', 'transformers', 'vllm', 'numpy') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared_data_dir)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_it_happens_once(settings: Settings, quick: list[Path]) -> None:
    said: list[str] = []
    prepare_models(settings, said.append)
    assert is_prepared(settings)
    assert len(said) == 4
    prepare_models(settings, said.append)
    assert (len(quick), len(said)) == (2, 4)
    assert folders(settings) == [ENCODERS, SMOLLM2]


def test_encoders_are_tried_again_for_other_weights_and_not_where_another_runs_them(
    settings: Settings, quick: list[Path], tmp_path: Path
) -> None:
    prepare_models(settings, print)
    model = tmp_path / "model"
    model.mkdir()
    other = settings.model_copy(update={"embedding_model": str(model)})
    for contents, tried in (("{}", 3), ("{}", 3), ("[]", 4)):
        (model / "config.json").write_text(contents)
        prepare_models(other, print)
        assert len(quick) == tried
    assert len(folders(settings)) == 3
    remote = settings.model_copy(update={"embedding_backend": "remote", "data_dir": tmp_path / "remote"})
    prepare_models(remote, print)
    assert folders(remote) == [SMOLLM2]


def test_a_model_that_cannot_be_prepared_runs_in_torch(
    settings: Settings, quick: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(weights: str, target: Path) -> None:
        (target / "half").write_bytes(b"")
        raise Unavailable("It cannot be traced.")

    monkeypatch.setattr(prepare, "_try_encoders", fails)
    said: list[str] = []
    prepare_models(settings, said.append)
    assert said[-1] == "It cannot be traced. It runs in torch."
    assert folders(settings) == [SMOLLM2]


def test_an_interruption_leaves_nothing_that_looks_complete(
    settings: Settings, quick: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"wei")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "_convert_in_process", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_models(settings, print)
    assert not is_prepared(settings)
    killed = settings.models_dir / ".building-of-a-killed-process"
    killed.mkdir()
    prepare_models(settings, print)
    assert folders(settings) == [ENCODERS, SMOLLM2]


def test_damage_is_noticed_and_mended(settings: Settings, quick: list[Path]) -> None:
    prepare_models(settings, print)
    (prepared_dir(settings, SMOLLM2) / "model.safetensors").write_bytes(b"wei")
    assert not is_prepared(settings)
    with pytest.raises(Unavailable):
        resolve_weights(settings, SMOLLM2)
    prepare_models(settings, print)
    assert is_prepared(settings)
    assert folders(settings) == [ENCODERS, SMOLLM2]


@pytest.mark.parametrize("stamp", ["", "{}", "[]", '{"files": 3}', '{"files": {}}'])
def test_a_broken_stamp_is_no_stamp(settings: Settings, stamp: str) -> None:
    folder = prepared_dir(settings, SMOLLM2)
    folder.mkdir(parents=True)
    (folder / "prepared.json").write_text(stamp)
    assert not is_prepared(settings)


def test_a_full_disk_a_failed_conversion_and_a_bad_folder_are_sentences(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "NEEDED_BYTES", 10**18)
        with pytest.raises(Unavailable, match="not enough room"):
            prepare_models(settings, print)
    not_gguf = tmp_path / "not.gguf"
    not_gguf.write_bytes(b"nonsense")
    monkeypatch.setattr(prepare, "shipped_gguf", lambda: not_gguf)
    with pytest.raises(Unavailable, match="could not be converted"):
        prepare_models(settings, print)
    assert folders(settings) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        prepare_models(Settings(_env_file=None, data_dir=tmp_path / "file"), print)


def test_weights_may_be_prepared_a_path_or_a_hugging_face_id(settings: Settings, tmp_path: Path) -> None:
    assert resolve_weights(settings, "Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"
    assert resolve_weights(settings, str(tmp_path)) == str(tmp_path)
    assert resolve_gguf("Qwen/Qwen3-8B") is None
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"")
    assert resolve_gguf(str(gguf)) == gguf


def test_the_embedding_model_is_shipped_or_passed_on(settings: Settings) -> None:
    assert (Path(embedding_weights(settings)) / "modules.json").is_file()
    other = settings.model_copy(update={"embedding_model": "BAAI/bge-m3"})
    assert embedding_weights(other) == "BAAI/bge-m3"


def test_counters_of_providers_overestimate_and_unknown_models_are_refused(tmp_path: Path) -> None:
    model = {"engines": ["cloud"], "context_tokens": 1000, "price_micro_per_token": {"prompt": 1, "completion": 2}}
    file = write_models(tmp_path, {"cloud": {"kind": "openai"}}, {"m": model})
    settings = Settings(_env_file=None, data_dir=tmp_path, models_file=file, default_model="m")
    counter = load_token_counter(settings, "default")
    assert counter.count("") == 0
    assert counter.count("Hello world") == 6
    assert counter.count("日本語") == 8
    assert not counter.exact
    with pytest.raises(InvalidInput):
        load_token_counter(settings, "nothing")
