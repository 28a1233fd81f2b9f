"""The window of an embedding model, as its files tell it."""

import json
from pathlib import Path

from configs.settings import Settings
from storage.models.store import embedding_weights
from storage.models.window import embedding_window


def model(folder: Path, **files: object) -> str:
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def test_the_window_is_what_is_left_beside_the_special_tokens(tmp_path: Path) -> None:
    assert embedding_window(model(tmp_path / "a", sentence_bert_config={"max_seq_length": 256})) == 254
    assert embedding_window(model(tmp_path / "b", tokenizer={"truncation": {"max_length": 128}})) == 126
    assert embedding_window(embedding_weights(Settings())) == 254


def test_files_that_say_nothing_give_no_window(tmp_path: Path) -> None:
    assert embedding_window(model(tmp_path / "a", sentence_bert_config={}, tokenizer={"truncation": None})) is None
    assert embedding_window(model(tmp_path / "b", sentence_bert_config="{", tokenizer="[]")) is None
    assert embedding_window("nobody/nothing") is None
