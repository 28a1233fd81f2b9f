"""Which encoder is taken: by what was measured here, by what the processor can do elsewhere, and torch at worst."""

from pathlib import Path
from typing import Any

import pytest

from configs.settings import Settings
from storage.models.encoder_choice import CHOICE, Choice, Trial, fingerprint_of, load_choice
from storage.models.encoder_spec import embedding_model_path, encoder_spec

PASSING = {"cosine": 0.999, "recall": 1.0}
TRIALS = (
    Trial(backend="torch", precision="float32", cosine=1.0, recall=1.0, texts_per_second=30.0),
    Trial(backend="torch", precision="bfloat16", texts_per_second=70.0, **PASSING),
    Trial(backend="openvino", precision="bfloat16", texts_per_second=150.0, **PASSING),
    Trial(backend="openvino", precision="float32", texts_per_second=60.0, **PASSING),
    Trial(backend="openvino", precision="int8", texts_per_second=200.0, cosine=0.97, recall=1.0),
)
NEW, OLD, MIDDLE = "New avx2 avx512f avx512_vnni avx512_bf16", "Old avx2", "Middle avx2 avx512f avx512_vnni"


@pytest.fixture
def choice() -> Choice:
    return Choice(fingerprint="f", processor=NEW, trials=TRIALS, files={"model.xml": 3})


def test_the_fastest_that_finds_the_same_is_taken(choice: Choice) -> None:
    assert choice.best(here=NEW).name == "openvino bfloat16"
    assert choice.best("torch", here=NEW).name == "torch bfloat16"


def test_speed_is_no_excuse_for_other_vectors(choice: Choice) -> None:
    other_passages = TRIALS[2].model_copy(update={"recall": 0.9})
    assert not other_passages.passes
    worse = choice.model_copy(update={"trials": (*TRIALS[:2], other_passages)})
    assert worse.best(here=NEW).name == "torch bfloat16"
    assert worse.best("openvino", here=NEW).name == "torch float32"


def test_what_could_not_be_tried_is_not_taken(choice: Choice) -> None:
    broken = TRIALS[2].model_copy(update={"problem": "ModuleNotFoundError"})
    assert choice.model_copy(update={"trials": (TRIALS[0], broken)}).best(here=NEW).name == "torch float32"
    assert choice.model_copy(update={"trials": ()}).best(here=NEW).name == "torch float32"


@pytest.mark.parametrize(("here", "name"), [(OLD, "openvino float32"), (MIDDLE, "openvino int8")])
def test_elsewhere_the_processor_decides(choice: Choice, here: str, name: str) -> None:
    good = TRIALS[4].model_copy(update=PASSING)
    assert choice.model_copy(update={"trials": (*TRIALS[:4], good)}).best(here=here).name == name


def test_a_choice_counts_with_all_its_files(choice: Choice, tmp_path: Path) -> None:
    assert load_choice(tmp_path) is None
    (tmp_path / CHOICE).write_text(choice.model_dump_json())
    assert load_choice(tmp_path) is None
    (tmp_path / "model.xml").write_bytes(b"xml")
    assert load_choice(tmp_path) == choice
    (tmp_path / CHOICE).write_text(choice.model_copy(update={"format": 0}).model_dump_json())
    assert load_choice(tmp_path) is None
    (tmp_path / CHOICE).write_text("{")
    assert load_choice(tmp_path) is None


def test_a_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    def model(name: str, middle: bytes) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"a" * 2_000_000 + middle * 2_000_000 + b"a" * 2_000_000)
        return fingerprint_of(str(folder))

    first = model("a", b"x")
    assert first == model("b", b"x")
    assert first != model("c", b"y")
    assert fingerprint_of("BAAI/bge-m3") != fingerprint_of("BAAI/bge-m4")


def test_a_key_goes_to_its_own_server_only() -> None:
    def spec(**values: Any) -> tuple[str | None, str | None]:
        made = encoder_spec(Settings(_env_file=None, embedding_backend="remote", openai_api_key="ours", **values))
        return made.base_url, made.api_key.get_secret_value() if made.api_key else None

    assert spec() == (None, "ours")
    assert spec(openai_base_url="https://a.example/v1") == ("https://a.example/v1", "ours")
    assert spec(embedding_base_url="https://b.example/v1") == ("https://b.example/v1", None)
    assert spec(embedding_base_url="https://b.example/v1", embedding_api_key="theirs") == (
        "https://b.example/v1",
        "theirs",
    )


def test_a_remote_model_is_no_file() -> None:
    settings = Settings(_env_file=None, embedding_backend="remote", embedding_model="text-embedding-3-small")
    assert embedding_model_path(settings) == "remote:text-embedding-3-small"
    assert encoder_spec(settings).weights == "remote:text-embedding-3-small"
