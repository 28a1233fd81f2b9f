"""Counting without the model's own tokenizer: too much rather than too little, and never a failed turn."""

import json
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from configs.settings import Settings
from storage.models.tokenizer import CautiousTokenCounter, count_factor, load_token_counter, load_window


def settings_of(folder: Path, weights: str) -> Settings:
    model = {"engines": ["local"], "weights": weights, "context_tokens": 512, "tokens_per_message": 5}
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump({"engines": {"local": {"kind": "llamacpp"}}, "models": {"m": model}}))
    return Settings(_env_file=None, data_dir=folder, models_file=file, default_model="m")


def test_a_tokenizer_that_does_not_load_is_replaced(tmp_path: Path) -> None:
    for name, content in (("broken", b"{"), ("other", b'{"model": 1}'), ("binary", b"\x00\xff")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes(content)
        counter = load_token_counter(settings_of(tmp_path / name, str(folder)), "default")
        assert not counter.exact
        assert counter.count("Hello world") > 2


def test_a_model_that_is_not_prepared_is_counted_all_the_same(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "smollm2-135m-instruct")
    counter = load_token_counter(settings, "m")
    assert not counter.exact
    window = load_window(settings, "m", counter)
    assert (window.context_tokens, window.tokens_per_message, window.count_factor) == (512, 5, 2)


def test_a_template_that_adds_more_than_the_table_says_is_believed(tmp_path: Path) -> None:
    pieces = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    pieces.pre_tokenizer = WhitespaceSplit()
    every = "{% for one in messages %}a b c d e f g {{ one['content'] }} {% endfor %}"
    once = "{{ 'x ' * 20 }}{{ messages[0]['content'] }} {{ messages[1:] | map(attribute='content') | join(' ') }}"
    for name, template, expected in (
        ("every", every, 7),
        ("once", once, 6),
        ("broken", "{% for %}", 5),
        ("refuses", "{{ raise_exception('no') }}", 5),
        ("endless", "{{ messages.append(1) }}", 5),
        ("none", None, 5),
    ):
        folder = tmp_path / name
        folder.mkdir()
        pieces.save(str(folder / "tokenizer.json"))
        if template is not None:
            (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        settings = settings_of(folder, str(folder))
        assert load_window(settings, "m", load_token_counter(settings, "m")).tokens_per_message == expected, name


@given(st.text(max_size=200))
def test_no_engine_counts_more_than_what_is_reserved(text: str) -> None:
    """A byte is one token at most."""
    counter = CautiousTokenCounter()
    assert len(text.encode("utf-8", "replace")) <= count_factor(counter) * counter.count(text)
